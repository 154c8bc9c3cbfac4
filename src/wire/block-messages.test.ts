import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { manifestAsksMax, manifestBytesMax, messageBytesMax, offersPerKeyMax } from '../limits.ts'
import {
  decodeHold,
  decodeHoldResult,
  decodeManifestAsks,
  decodeOffers,
  decodeShardAsk,
  encodeHold,
  encodeHoldResult,
  encodeManifestAsks,
  encodeOffers,
  encodeShardAsk,
  type HoldResult,
  type StripeOffer,
} from './block-messages.ts'
import { parseStripeId, type StripeId } from './manifest.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const lookupKey = bytes32.map(
  (bytes): LookupKey => parseLookupKey(Buffer.from(bytes).toString('hex')) ?? assert.fail(),
)
const stripeId = bytes32.map((bytes): StripeId => parseStripeId(bytes) ?? assert.fail())
const ask = fc.record({ key: lookupKey, wantsManifest: fc.boolean() }, { noNullPrototype: true })
const manifest = fc.option(fc.uint8Array({ minLength: 1, maxLength: 200 }), { nil: undefined })
const offer: fc.Arbitrary<StripeOffer> = fc.record({
  stripe: stripeId,
  shards: fc.integer({ min: 1, max: 0xffff_ffff }),
  isWhole: fc.boolean(),
  manifest,
})
const offers = fc.array(
  fc.uniqueArray(offer, { maxLength: offersPerKeyMax, selector: ({ stripe }) => stripe }),
  { maxLength: 8 },
)
const index = fc.nat(31)

describe('block messages', () => {
  it('decoders give what the encoders were given', () => {
    const asks = fc.array(ask, { minLength: 1, maxLength: manifestAsksMax })
    fc.assert(
      fc.property(asks, given => {
        assert.deepEqual(decodeManifestAsks(encodeManifestAsks(given)), given)
      }),
    )
    fc.assert(
      fc.property(offers, given => {
        const decoded = decodeOffers(encodeOffers(given), given.length)
        const plain = (lists: typeof decoded): unknown =>
          lists.map(list => list.map(each => ({ ...each, manifest: each.manifest?.join() })))
        assert.deepEqual(plain(decoded), plain(given))
      }),
    )
    fc.assert(
      fc.property(stripeId, index, (stripe, at) => {
        assert.deepEqual(decodeShardAsk(encodeShardAsk({ stripe, index: at })), {
          stripe,
          index: at,
        })
        const drop = { type: 'drop', index: at, stripe } as const
        assert.deepEqual(decodeHold(encodeHold(drop)), drop)
        const hold = decodeHold(encodeHold({ type: 'hold', index: at, manifest: Buffer.of(1, 2) }))
        assert.ok(hold.type === 'hold' && hold.index === at && hold.manifest.length === 2)
      }),
    )
    const results: readonly HoldResult[] = ['held', 'quota', 'full', 'busy', 'invalid', 'unwanted']
    for (const result of results) assert.equal(decodeHoldResult(encodeHoldResult(result)), result)
  })

  it('the largest reply is within the largest message', () => {
    const list = Array.from({ length: offersPerKeyMax }, (_, at) => ({
      stripe: parseStripeId(new Uint8Array(32).fill(at)) ?? assert.fail(),
      shards: 1,
      isWhole: true,
      manifest: new Uint8Array(manifestBytesMax),
    }))
    const reply = encodeOffers(Array.from({ length: manifestAsksMax }, () => list))
    assert.ok(reply.length <= messageBytesMax)
    assert.equal(decodeOffers(reply, manifestAsksMax).length, manifestAsksMax)
  })

  it('decoders refuse what the protocol does not have', () => {
    const [one] = fc.sample(offer, { numRuns: 1, seed: 1 })
    assert.ok(one !== undefined)
    const none = { ...one, shards: 0, isWhole: false }
    const key = '00'.repeat(32)
    const refused: readonly (() => unknown)[] = [
      () => decodeManifestAsks(new Uint8Array()),
      () => decodeManifestAsks(new Uint8Array(33 * (manifestAsksMax + 1))),
      () => decodeManifestAsks(Buffer.from(`${key}02`, 'hex')),
      () => decodeManifestAsks(Buffer.from(`${key}0100`, 'hex')),
      () => decodeOffers(encodeOffers([[one, one]]), 1),
      () => decodeOffers(encodeOffers([[none]]), 1),
      () => decodeOffers(encodeOffers([[one]]), 2),
      () => decodeOffers(encodeOffers([[one], []]), 1),
      () => decodeOffers(Uint8Array.of(offersPerKeyMax + 1), 1),
      () => decodeOffers(Buffer.concat([Buffer.of(1), Buffer.alloc(39, 1)]), 1),
      () => decodeHold(new Uint8Array()),
      () => decodeHold(Uint8Array.of(1, 0)),
      () => decodeHold(Uint8Array.of(1, 32, 1)),
      () => decodeHold(Buffer.alloc(3 + manifestBytesMax, 1)),
      () => decodeHold(Buffer.alloc(33, 2)),
      () => decodeHold(Buffer.alloc(34, 3)),
      () => decodeHoldResult(new Uint8Array()),
      () => decodeHoldResult(Uint8Array.of(0)),
      () => decodeHoldResult(Uint8Array.of(7)),
      () => decodeHoldResult(Uint8Array.of(1, 1)),
      () => decodeShardAsk(new Uint8Array()),
      () => decodeShardAsk(new Uint8Array(32)),
      () => decodeShardAsk(Buffer.alloc(33, 32)),
      () => decodeShardAsk(new Uint8Array(34)),
    ]
    for (const [at, decode] of refused.entries()) {
      assert.throws(decode, { code: 'peer_message_invalid' }, `case ${at}`)
    }
  })

  it('decoders throw peer_message_invalid and nothing else, whatever comes', () => {
    const valid = fc.oneof(
      offers.map(encodeOffers),
      fc.array(ask, { maxLength: 5 }).map(encodeManifestAsks),
      fc.tuple(stripeId, index).map(([stripe, at]) => encodeShardAsk({ stripe, index: at })),
    )
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.nat(40), more: fc.nat(40) })
    fc.assert(
      fc.property(fc.oneof(valid, fc.uint8Array()), change, (bytes, { at, byte, cut, more }) => {
        const changed = Buffer.concat([
          bytes.subarray(0, Math.max(bytes.length - cut, 0)),
          Buffer.alloc(more),
        ])
        if (changed.length > 0) changed[at % changed.length] = byte
        isRefused(() => decodeManifestAsks(changed))
        isRefused(() => decodeOffers(changed, at % 9))
        isRefused(() => decodeHold(changed))
        isRefused(() => decodeHoldResult(changed))
        isRefused(() => decodeShardAsk(changed))
      }),
      { numRuns: 1_000 },
    )
  })
})

function isRefused(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid')
  }
}
