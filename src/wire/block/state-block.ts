import { decode, encode } from 'cborg'
import { OperationError } from '../../errors.ts'
import { kindFault, type StateKind } from '../../key/block-hash.ts'
import { blockTokens, type LayerLayout } from '../../key/state-layout.ts'
import { blockHeadBytesMax, blockIndexMax } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import { packTokenIds, unpackTokenIds } from '../token-ids.ts'
import { areFinite } from './finite-rows.ts'

/** What a block says of itself in front of its rows (spec/blocks.md §2). */
export interface BlockHead {
  readonly kind: StateKind
  /** 0-based: tokens `index * 128` to `index * 128 + 127`. */
  readonly index: number
  /** The block's 128 token ids, u32. */
  readonly tokenIds: readonly number[]
}

export interface DecodedHead {
  readonly head: BlockHead
  /** Bytes of the head, padding included: the rows begin behind them. */
  readonly bytes: number
}

const magic = Buffer.from('HSKV', 'latin1')
const version = 1
/** Magic, version and length of the header. */
const prefixBytes = 12
/** Rows begin at a multiple of it: they can be read in words, and fill whole cache lines. */
const borderBytes = 64
const tokenIdMax = 0xffff_ffff
const fieldNames = 'i l n s t'

/**
 * The head of a block, to be followed by its rows. There is one form per head, so that a reader may
 * compare bytes.
 *
 * @throws RangeError for what no block can hold
 */
export function encodeBlockHead(head: BlockHead): Uint8Array {
  const fault = headFault(head)
  if (fault !== undefined) throw new RangeError(`Cannot make a block: ${fault}`)
  const { kind, index, tokenIds } = head
  const header = encode({
    n: kind.numericClass,
    l: kind.layout.layers.map(({ keyBytes, valueBytes }) => [keyBytes, valueBytes]),
    s: kind.layout.settings,
    i: index,
    t: packTokenIds(tokenIds),
  })
  const bytes = Buffer.alloc(headBytes(header.length))
  assert(bytes.length <= blockHeadBytesMax, 'the limits of its parts bound a head')
  bytes.set(magic)
  bytes.writeUInt32LE(version, 4)
  bytes.writeUInt32LE(header.length, 8)
  bytes.set(header, prefixBytes)
  return bytes
}

/**
 * The rows of a block, once it is certain that they are those of `expected` (as `encodeBlockHead`
 * made it) and that every number is finite. A view: nothing is copied.
 *
 * @throws block_invalid, naming what is wrong
 */
export function checkBlock(expected: Uint8Array, plain: Uint8Array): Uint8Array {
  const head = plain.subarray(0, expected.length)
  if (Buffer.compare(head, expected) !== 0) {
    throw blockInvalid(difference(decodeBlockHead(expected).head, decodeBlockHead(plain).head))
  }
  const rows = plain.subarray(expected.length)
  if (!areFinite(rows)) throw blockInvalid('a number of it is not finite')
  return rows
}

/**
 * Reads the head of a block that may be anything. The rows are not looked at.
 * @throws block_invalid
 */
export function decodeBlockHead(plain: Uint8Array): DecodedHead {
  const view = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  if (view.length < prefixBytes) throw blockInvalid('it is cut')
  if (magic.compare(view, 0, 4) !== 0) throw blockInvalid('it does not begin as one')
  if (view.readUInt32LE(4) !== version) throw blockInvalid('its version is unknown')
  const headerBytes = view.readUInt32LE(8)
  const bytes = headBytes(headerBytes)
  if (bytes > blockHeadBytesMax) throw blockInvalid('its header is too long')
  if (bytes > view.length) throw blockInvalid('it is cut')
  const head = decodeHeader(view.subarray(prefixBytes, prefixBytes + headerBytes))
  // One head, one form: what would be written differently was not written by a node, be it padding
  // that is not zero or CBOR that is not the shortest.
  if (Buffer.compare(encodeBlockHead(head), view.subarray(0, bytes)) !== 0) {
    throw blockInvalid('it is not canonical')
  }
  return { head, bytes }
}

export function blockInvalid(why: string, cause?: unknown): OperationError {
  return new OperationError('block_invalid', `Cannot use the block: ${why}`, {
    origin: 'peer',
    cause,
  })
}

function headBytes(headerBytes: number): number {
  return Math.ceil((prefixBytes + headerBytes) / borderBytes) * borderBytes
}

/** What no block can hold. */
function headFault({ kind, index, tokenIds }: BlockHead): string | undefined {
  if (!isWithin(index, blockIndexMax)) return 'its index is none'
  if (tokenIds.length !== blockTokens) return `it has not ${blockTokens} tokens`
  if (!tokenIds.every(tokenId => isWithin(tokenId, tokenIdMax))) return 'a token id is none'
  return kindFault(kind)
}

function decodeHeader(header: Uint8Array): BlockHead {
  let value: unknown
  try {
    value = decode(header, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false })
  } catch (error) {
    throw blockInvalid('its header is not strict CBOR', error)
  }
  const map = asMap(value)
  if (Object.keys(map).sort().join(' ') !== fieldNames) {
    throw blockInvalid('its header has other fields')
  }
  const layout = { layers: asLayers(map['l']), settings: asText(map['s']) }
  const head = {
    kind: { numericClass: asText(map['n']), layout },
    index: asNumber(map['i']),
    tokenIds: asTokenIds(map['t']),
  }
  const fault = headFault(head)
  if (fault !== undefined) throw blockInvalid(fault)
  return head
}

/** Which of two different heads' parts differs. */
function difference(expected: BlockHead, found: BlockHead): string {
  if (found.kind.numericClass !== expected.kind.numericClass) return 'it is of another class'
  if (found.kind.layout.settings !== expected.kind.layout.settings) return 'its settings differ'
  if (layersText(found) !== layersText(expected)) return 'its layers differ'
  if (found.index !== expected.index) return 'it is of another place in the prompt'
  return 'it is of other tokens'
}

function layersText({ kind }: BlockHead): string {
  return JSON.stringify(kind.layout.layers)
}

function asMap(value: unknown): { readonly [name: string]: unknown } {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (isMap && !ArrayBuffer.isView(value)) return value as { readonly [name: string]: unknown }
  throw blockInvalid('its header is no map')
}

function asLayers(value: unknown): readonly LayerLayout[] {
  if (!Array.isArray(value)) throw blockInvalid('its layers are no list')
  return value.map(layer => {
    if (!Array.isArray(layer) || layer.length !== 2) throw blockInvalid('a layer is no pair')
    const [keyBytes, valueBytes] = layer
    return { keyBytes: asNumber(keyBytes), valueBytes: asNumber(valueBytes) }
  })
}

function asTokenIds(value: unknown): readonly number[] {
  const tokenIds = value instanceof Uint8Array ? unpackTokenIds(value) : undefined
  if (tokenIds === undefined) throw blockInvalid('its token ids are none')
  return tokenIds
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  throw blockInvalid('a text is missing')
}

function asNumber(value: unknown): number {
  if (typeof value === 'number') return value
  throw blockInvalid('a number is missing')
}

function isWithin(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max
}
