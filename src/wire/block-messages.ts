import { OperationError } from '../errors.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { manifestAsksMax, manifestBytesMax, offersPerKeyMax, stripeShardsMax } from '../limits.ts'
import { parseStripeId, type StripeId } from './manifest.ts'

/**
 * What nodes say to each other about KV blocks (spec/placement.md §4 to §6).
 *
 *     manifests  (32 bytes of look-up key ‖ u8 1 where the manifest is wanted, else 0), repeated
 *     its reply  per key: u8 c ‖ c × (stripe id ‖ u32 shards held, a bit each
 *                ‖ u8 1 where the whole block is held, else 0 ‖ u16 length ‖ manifest, or nothing)
 *     hold       u8 1 ‖ u8 index of a shard ‖ manifest
 *     drop       u8 2 ‖ u8 index of a shard ‖ stripe id
 *     its reply  u8 1 to 6, see `HoldResult`
 *     shard      stripe id ‖ u8 index
 */
export interface ManifestAsk {
  readonly key: LookupKey
  readonly wantsManifest: boolean
}

/** What a peer says that it has of one stripe of a key. */
export interface StripeOffer {
  readonly stripe: StripeId
  /** Bit i: it holds shard i. */
  readonly shards: number
  /** It has the block itself, and can give every data shard of it. */
  readonly isWhole: boolean
  /** Undefined where it was not asked for. */
  readonly manifest: Uint8Array | undefined
}

export type HoldMessage =
  | { readonly type: 'hold'; readonly index: number; readonly manifest: Uint8Array }
  | { readonly type: 'drop'; readonly index: number; readonly stripe: StripeId }

/**
 * `held`: it is stored (or was already), or is no more. `quota`: enough is held for the asker.
 * `full`: no room, or the disk fails. `busy`: ask later. `invalid`: the manifest is wrong, or what
 * was pulled does not match it. `unwanted`: whoever asks or has issued it is not trusted.
 */
export type HoldResult = 'held' | 'quota' | 'full' | 'busy' | 'invalid' | 'unwanted'

export interface ShardAsk {
  readonly stripe: StripeId
  readonly index: number
}

const keyBytes = 32
const askBytes = keyBytes + 1
const offerHeadBytes = 32 + 4 + 1 + 2
const holdResults: readonly HoldResult[] = ['held', 'quota', 'full', 'busy', 'invalid', 'unwanted']

export function encodeManifestAsks(asks: readonly ManifestAsk[]): Uint8Array {
  return Buffer.concat(
    asks.flatMap(({ key, wantsManifest }) => [
      Buffer.from(key, 'hex'),
      Uint8Array.of(wantsManifest ? 1 : 0),
    ]),
  )
}

/** @throws peer_message_invalid */
export function decodeManifestAsks(body: Uint8Array): readonly ManifestAsk[] {
  const count = body.length / askBytes
  if (!Number.isInteger(count) || count === 0 || count > manifestAsksMax) {
    throw invalid('its keys are cut, none or too many')
  }
  return Array.from({ length: count }, (_, index) => {
    const start = index * askBytes
    const key = keyOf(body.subarray(start, start + keyBytes))
    return { key, wantsManifest: flagOf(body[start + keyBytes]) }
  })
}

/** One list of offers per key that was asked for. */
export function encodeOffers(offers: readonly (readonly StripeOffer[])[]): Uint8Array {
  return Buffer.concat(
    offers.flatMap(list => [Uint8Array.of(list.length), ...list.flatMap(encodeOffer)]),
  )
}

/** @throws peer_message_invalid unless there is exactly one list per key asked */
export function decodeOffers(body: Uint8Array, count: number): readonly (readonly StripeOffer[])[] {
  const bytes = bufferOf(body)
  const lists: StripeOffer[][] = []
  let offset = 0
  while (lists.length < count) {
    const length = bytes[offset]
    if (length === undefined || length > offersPerKeyMax) throw invalid('its offers are too many')
    const list: StripeOffer[] = []
    offset += 1
    while (list.length < length) {
      const { offer, end } = decodeOffer(bytes, offset)
      if (list.some(({ stripe }) => stripe === offer.stripe)) throw invalid('it repeats an offer')
      list.push(offer)
      offset = end
    }
    lists.push(list)
  }
  if (offset !== bytes.length) throw invalid('bytes are left over')
  return lists
}

export function encodeHold(message: HoldMessage): Uint8Array {
  const { type, index } = message
  const rest = type === 'hold' ? message.manifest : Buffer.from(message.stripe, 'hex')
  return Buffer.concat([Uint8Array.of(type === 'hold' ? 1 : 2, index), rest])
}

/** The manifest in it is not looked at. @throws peer_message_invalid */
export function decodeHold(body: Uint8Array): HoldMessage {
  const [type] = body
  const index = indexOf(body[1])
  const rest = body.subarray(2)
  if (type === 1) {
    if (rest.length === 0 || rest.length > manifestBytesMax) throw invalid('its manifest is none')
    return { type: 'hold', index, manifest: rest }
  }
  if (type === 2) return { type: 'drop', index, stripe: stripeOf(rest) }
  throw invalid('its type is unknown')
}

export function encodeHoldResult(result: HoldResult): Uint8Array {
  return Uint8Array.of(holdResults.indexOf(result) + 1)
}

/** @throws peer_message_invalid */
export function decodeHoldResult(body: Uint8Array): HoldResult {
  const result = holdResults[(body[0] ?? 0) - 1]
  if (body.length !== 1 || result === undefined) throw invalid('its result is unknown')
  return result
}

export function encodeShardAsk({ stripe, index }: ShardAsk): Uint8Array {
  return Buffer.concat([Buffer.from(stripe, 'hex'), Uint8Array.of(index)])
}

/** @throws peer_message_invalid */
export function decodeShardAsk(body: Uint8Array): ShardAsk {
  const stripe = stripeOf(body.subarray(0, -1))
  return { stripe, index: indexOf(body[body.length - 1]) }
}

function encodeOffer({ stripe, shards, isWhole, manifest }: StripeOffer): readonly Uint8Array[] {
  const head = Buffer.alloc(offerHeadBytes)
  head.write(stripe, 'hex')
  head.writeUInt32LE(shards, 32)
  head.writeUInt8(isWhole ? 1 : 0, 36)
  head.writeUInt16LE(manifest?.length ?? 0, 37)
  return manifest === undefined ? [head] : [head, manifest]
}

function decodeOffer(bytes: Buffer, offset: number): { offer: StripeOffer; end: number } {
  const head = bytes.subarray(offset, offset + offerHeadBytes)
  if (head.length < offerHeadBytes) throw invalid('an offer is cut')
  const manifestBytes = head.readUInt16LE(37)
  const end = offset + offerHeadBytes + manifestBytes
  if (manifestBytes > manifestBytesMax || end > bytes.length) throw invalid('a manifest is cut')
  const manifest = bytes.subarray(offset + offerHeadBytes, end)
  const offer: StripeOffer = {
    stripe: stripeOf(head.subarray(0, 32)),
    shards: head.readUInt32LE(32),
    isWhole: flagOf(head[36]),
    manifest: manifestBytes === 0 ? undefined : manifest,
  }
  if (offer.shards === 0 && !offer.isWhole) throw invalid('it offers nothing')
  return { offer, end }
}

function stripeOf(bytes: Uint8Array): StripeId {
  const stripe = parseStripeId(bytes)
  if (stripe === undefined) throw invalid('it names no stripe')
  return stripe
}

function keyOf(bytes: Uint8Array): LookupKey {
  const key = parseLookupKey(Buffer.from(bytes).toString('hex'))
  if (key === undefined) throw invalid('a key is cut')
  return key
}

function indexOf(byte: number | undefined): number {
  if (byte === undefined || byte >= stripeShardsMax) throw invalid('there is no such shard')
  return byte
}

function flagOf(byte: number | undefined): boolean {
  if (byte !== 0 && byte !== 1) throw invalid('a flag is none')
  return byte === 1
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function invalid(why: string): OperationError {
  return new OperationError('peer_message_invalid', `Cannot read the peer's message: ${why}`, {
    origin: 'peer',
  })
}
