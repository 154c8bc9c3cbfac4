import { encode } from 'cborg'
import { blockBytes, type StateLayout } from '../../src/key/state-layout.ts'
import { type BlockHead, encodeBlockHead } from '../../src/wire/block/state-block.ts'
import { packTokenIds } from '../../src/wire/token-ids.ts'

/** A right block, of which hostile ones are made. */
export interface TrueBlock {
  readonly head: BlockHead
  readonly rows: Uint8Array
}

/** Plain bytes, head and rows, that no node must hand to its engine. */
export type HostileBlock = (block: TrueBlock) => Uint8Array

/** Where the CBOR header of a head begins, behind magic, version and length. */
const headerStart = 12

/** The hostile states of research/engine.md §4, and what else can be wrong with a block. */
export const hostileBlocks: { readonly [what: string]: HostileBlock } = {
  'is nothing at all': () => new Uint8Array(0),
  'has no rows': ({ head }) => encodeBlockHead(head),
  'is cut within its head': block => plainOf(block).subarray(0, headerStart + 5),
  'is cut by a row': block => plainOf(block).subarray(0, -block.rows.length / 128),
  'is cut by a number': block => plainOf(block).subarray(0, -2),
  'has one number more': block => Buffer.concat([plainOf(block), Buffer.alloc(2)]),
  'has a block more': block => Buffer.concat([plainOf(block), block.rows]),
  'says that its head has 4 GiB': block =>
    changed(block, bytes => bytes.writeUInt32LE(2 ** 32 - 1, 8)),
  'says that its head is empty': block => changed(block, bytes => bytes.writeUInt32LE(0, 8)),
  'begins as something else': block => changed(block, bytes => bytes.write('qsgg', 0, 'latin1')),
  'is of another version': block => changed(block, bytes => bytes.writeUInt32LE(2, 4)),
  // A list of 2^63 - 1 layers, and a text of 4 GiB, in as many bytes as a block may have.
  'counts 2^63 layers': block => withField(block, 'l', Buffer.from('9b7fffffffffffffff', 'hex')),
  'counts 2^30 tokens': block => withField(block, 't', Buffer.from('5affffffff', 'hex')),
  'nests lists a thousand deep': block => withField(block, 'l', Buffer.alloc(1_000, 0x81)),
  'has rows of 2^53 bytes': block =>
    withLayout(block, layout => ({
      ...layout,
      layers: layout.layers.map(layer => ({ ...layer, keyBytes: 2 ** 53 - 2 })),
    })),
  'has a layer more': block =>
    withLayout(block, layout => ({
      ...layout,
      layers: [...layout.layers, ...layout.layers].slice(0, layout.layers.length + 1),
    })),
  'has a layer less': block =>
    withLayout(block, layout => ({ ...layout, layers: layout.layers.slice(1) })),
  'has keys and values of other sizes': block =>
    withLayout(block, layout => ({
      ...layout,
      layers: layout.layers.map(({ keyBytes, valueBytes }) => ({
        keyBytes: keyBytes - 2,
        valueBytes: valueBytes + 2,
      })),
    })),
  'is of another layout': block =>
    withLayout(block, layout => ({ ...layout, settings: `${layout.settings} ` })),
  'is of another model': block =>
    withClass(block, name => `sha256:${'5'.repeat(64)}${name.slice(71)}`),
  'is of another numeric class': block => withClass(block, name => `${name} · another build`),
  'is of another token': block =>
    withTokens(block, tokens => tokens.with(77, (tokens[77] ?? 0) ^ 1)),
  'is of other tokens': block => withTokens(block, tokens => tokens.toReversed()),
  'is of the place before': block => withIndex(block, index => index - 1),
  'is of the place behind': block => withIndex(block, index => index + 1),
  'is of place 2^31': block => withField(block, 'i', Buffer.from('1a80000000', 'hex')),
  'is of place -1': block => withField(block, 'i', Buffer.from('20', 'hex')),
  'is not canonical': block =>
    withField(block, 'i', Buffer.concat([Buffer.from('1b', 'hex'), u64(block.head.index)])),
  ...Object.fromEntries(
    (['7e00', '7c00', 'fc00', '7c01', 'ffff'] as const).flatMap(bits =>
      (['first', 'middle', 'last'] as const).map(where => [
        `has ${bits} for its ${where} number`,
        (block: TrueBlock) => withNumber(block, where, Number.parseInt(bits, 16)),
      ]),
    ),
  ),
}

export function plainOf({ head, rows }: TrueBlock): Buffer {
  return Buffer.concat([encodeBlockHead(head), rows])
}

/** Rows that are whole, finite and of the right block, and nothing that the model would compute. */
export function wrongRows({ head, rows }: TrueBlock): Uint8Array {
  const wrong = Buffer.from(rows)
  for (let at = 0; at < wrong.length; at += 2) {
    // The sign of every number, and an exponent far from the largest.
    wrong.writeUInt16LE((wrong.readUInt16LE(at) ^ 0x8000) & 0xbfff, at)
  }
  return plainOf({ head, rows: wrong })
}

function changed(block: TrueBlock, change: (bytes: Buffer) => void): Uint8Array {
  const bytes = plainOf(block)
  change(bytes)
  return bytes
}

function withClass(block: TrueBlock, change: (name: string) => string): Uint8Array {
  const { kind } = block.head
  const numericClass = change(kind.numericClass)
  return plainOf({ ...block, head: { ...block.head, kind: { ...kind, numericClass } } })
}

/** With as many rows as the other layout has. */
function withLayout(block: TrueBlock, change: (layout: StateLayout) => StateLayout): Uint8Array {
  const { kind } = block.head
  const layout = change(kind.layout)
  const bytes = blockBytes(layout)
  const isPossible = bytes < 2 ** 30
  const rows = Buffer.alloc(isPossible ? bytes : block.rows.length)
  rows.set(block.rows.subarray(0, rows.length))
  if (isPossible) return plainOf({ rows, head: { ...block.head, kind: { ...kind, layout } } })
  return withField(block, 'l', listOf(layout))
}

function withTokens(
  block: TrueBlock,
  change: (tokenIds: readonly number[]) => readonly number[],
): Uint8Array {
  return plainOf({ ...block, head: { ...block.head, tokenIds: change(block.head.tokenIds) } })
}

function withIndex(block: TrueBlock, change: (index: number) => number): Uint8Array {
  return plainOf({ ...block, head: { ...block.head, index: change(block.head.index) } })
}

function withNumber(
  block: TrueBlock,
  where: 'first' | 'middle' | 'last',
  bits: number,
): Uint8Array {
  const rows = Buffer.from(block.rows)
  const last = rows.length - 2
  rows.writeUInt16LE(bits, { first: 0, middle: (last >> 2) << 1, last }[where])
  return plainOf({ ...block, rows })
}

/** A head with one field in bytes of its own: what `encodeBlockHead` refuses to write. */
function withField({ head, rows }: TrueBlock, name: string, value: Uint8Array): Uint8Array {
  const { kind, index, tokenIds } = head
  const fields: { readonly [name: string]: Uint8Array } = {
    i: encode(index),
    l: encode(kind.layout.layers.map(({ keyBytes, valueBytes }) => [keyBytes, valueBytes])),
    n: encode(kind.numericClass),
    s: encode(kind.layout.settings),
    t: encode(packTokenIds(tokenIds)),
    [name]: value,
  }
  const pairs = Object.entries(fields).flatMap(([key, bytes]) => [encode(key), bytes])
  const header = Buffer.concat([Buffer.from([0xa0 + pairs.length / 2]), ...pairs])
  const bytes = Buffer.alloc(Math.ceil((headerStart + header.length) / 64) * 64)
  bytes.write('HSKV', 0, 'latin1')
  bytes.writeUInt32LE(1, 4)
  bytes.writeUInt32LE(header.length, 8)
  header.copy(bytes, headerStart)
  return Buffer.concat([bytes, rows])
}

function listOf({ layers }: StateLayout): Uint8Array {
  const pairs = layers.map(({ keyBytes, valueBytes }) =>
    Buffer.concat([
      Buffer.from('821b', 'hex'),
      u64(keyBytes),
      Buffer.from('1b', 'hex'),
      u64(valueBytes),
    ]),
  )
  return Buffer.concat([Buffer.from([0x80 + layers.length]), ...pairs])
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
