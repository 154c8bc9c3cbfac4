import { createCipheriv, createHash, createHmac } from 'node:crypto'

/**
 * A second implementation of spec/keys.md §6 and spec/blocks.md §2 and §3, written from the text
 * and sharing no code with `src/key` and `src/wire`: it has its own CBOR and HKDF.
 */
export interface SecondCase {
  readonly numericClass: string
  /** Bytes of a token's keys and values, layer by layer. */
  readonly layers: readonly (readonly [number, number])[]
  readonly settings: string
  readonly tokenIds: readonly number[]
}

export interface SecondNames {
  readonly root: string
  readonly hashes: readonly string[]
  readonly lookupKeys: readonly string[]
}

export function secondNames(salt: Uint8Array, given: SecondCase): SecondNames {
  const rows = given.layers.map(pair => pair.join('+')).join()
  const layout = `f16 rows/1 \u00b7 ${rows} \u00b7 ${given.settings}`
  const root = sha('hyperspace/block-root/1', salt, text(given.numericClass), text(layout))
  const hashes: Buffer[] = []
  for (let block = 0; (block + 1) * 128 <= given.tokenIds.length; block++) {
    hashes.push(sha('hyperspace/block/1', hashes.at(-1) ?? root, tokens(given.tokenIds, block)))
  }
  return {
    root: root.toString('hex'),
    hashes: hashes.map(hash => hash.toString('hex')),
    lookupKeys: hashes.map(hash => sha('hyperspace/lookup/1', hash).toString('hex')),
  }
}

export function secondHead(given: SecondCase, index: number): Buffer {
  const header = Buffer.concat([
    Buffer.of(0xa5),
    ...[cborText('i'), cborHead(0, index)],
    ...[cborText('l'), cborHead(4, given.layers.length)],
    ...given.layers.flatMap(([keys, values]) => [
      Buffer.of(0x82),
      cborHead(0, keys),
      cborHead(0, values),
    ]),
    ...[cborText('n'), cborText(given.numericClass)],
    ...[cborText('s'), cborText(given.settings)],
    ...[cborText('t'), cborHead(2, 512), tokens(given.tokenIds, index)],
  ])
  const head = Buffer.concat([Buffer.from('HSKV'), u32(1), u32(header.length), header])
  return Buffer.concat([head, Buffer.alloc((64 - (head.length % 64)) % 64)])
}

export function secondSealed(hash: string, plain: Uint8Array, nonce: Uint8Array): Buffer {
  // RFC 5869: extract with a salt of zeros, expand by one block.
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(Buffer.from(hash, 'hex')).digest()
  const info = Buffer.concat([Buffer.from('hyperspace/seal-block/1'), Buffer.of(1)])
  const key = createHmac('sha256', extracted).update(info).digest()
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.of(1))
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([Buffer.of(1), nonce, sealed, cipher.getAuthTag()])
}

function tokens(tokenIds: readonly number[], block: number): Buffer {
  return Buffer.concat(tokenIds.slice(block * 128, (block + 1) * 128).map(u32))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8')
  return Buffer.concat([u32(bytes.length), bytes])
}

function u32(value: number): Buffer {
  return Buffer.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24)
}

/** RFC 8949 §3: major type and argument, as short as can be. */
function cborHead(major: number, value: number): Buffer {
  const type = major << 5
  if (value < 24) return Buffer.of(type | value)
  if (value < 256) return Buffer.of(type | 24, value)
  if (value < 65_536) return Buffer.of(type | 25, value >>> 8, value & 255)
  return Buffer.concat([Buffer.of(type | 26), u32(value).reverse()])
}

function cborText(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8')
  return Buffer.concat([cborHead(3, bytes.length), bytes])
}

function sha(...parts: readonly (string | Uint8Array)[]): Buffer {
  return createHash('sha256')
    .update(Buffer.concat(parts.map(part => Buffer.from(part))))
    .digest()
}
