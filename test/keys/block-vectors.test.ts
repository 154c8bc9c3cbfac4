import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { blockHashes, blockLookupKey, blockRoot, type StateKind } from '../../src/key/block-hash.ts'
import { localScope, type Scope, swarmScope } from '../../src/key/scope.ts'
import { blockBytes, blockTokens } from '../../src/key/state-layout.ts'
import { openBlock, sealBlock } from '../../src/wire/block/sealed-block.ts'
import { checkBlock, encodeBlockHead } from '../../src/wire/block/state-block.ts'
import { type SecondCase, secondHead, secondNames, secondSealed } from './second-block.ts'

const file = new URL('../../spec/vectors/blocks.json', import.meta.url)
const nodeSecret = Uint8Array.from({ length: 32 }, (_, index) => index)
const swarmSecret = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
const nonce = Uint8Array.from({ length: 12 }, (_, index) => 16 * index)

interface BlockCase extends SecondCase {
  readonly name: string
  readonly scope: 'local' | 'swarm'
  /** Which block is made; its rows are `rowsSeed`, `rowsSeed` + 1, … as f16 bit patterns mod 0x7c00. */
  readonly index: number
  readonly rowsSeed: number
}

const tokenIds = (count: number, factor: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => (index * factor) % 151_936)

const cases: readonly BlockCase[] = [
  {
    name: 'two blocks and a tail, one layer',
    scope: 'local',
    numericClass: 'sha256:abab · llama.cpp b1 · cpu · flash attention · f16',
    layers: [[4, 4]],
    settings: 'rope 10000 1',
    tokenIds: tokenIds(300, 7_919),
    index: 1,
    rowsSeed: 0,
  },
  {
    name: 'the same tokens in a swarm',
    scope: 'swarm',
    numericClass: 'sha256:abab · llama.cpp b1 · cpu · flash attention · f16',
    layers: [[4, 4]],
    settings: 'rope 10000 1',
    tokenIds: tokenIds(300, 7_919),
    index: 1,
    rowsSeed: 0,
  },
  {
    name: 'the same tokens of another class',
    scope: 'swarm',
    numericClass: 'sha256:abab · llama.cpp b2 · cpu · flash attention · f16',
    layers: [[4, 4]],
    settings: 'rope 10000 1',
    tokenIds: tokenIds(300, 7_919),
    index: 0,
    rowsSeed: 31_000,
  },
  {
    name: 'layers of several sizes, one without values, and texts beyond ASCII',
    scope: 'swarm',
    numericClass: 'größe 日本 🙂',
    layers: [
      [2, 0],
      [300, 2],
      [2, 24],
    ],
    settings: '',
    tokenIds: tokenIds(128, 1).with(0, 0xffff_ffff),
    index: 0,
    rowsSeed: 1_000,
  },
  {
    name: 'a prompt with no whole block',
    scope: 'local',
    numericClass: 'x',
    layers: [[2, 2]],
    settings: 's',
    tokenIds: tokenIds(127, 3),
    index: 0,
    rowsSeed: 5,
  },
]

function scopeOf({ scope }: BlockCase): Scope {
  return scope === 'local' ? localScope(nodeSecret, undefined) : swarmScope(swarmSecret)
}

function kindOf({ numericClass, layers, settings }: BlockCase): StateKind {
  const rows = layers.map(([keyBytes, valueBytes]) => ({ keyBytes, valueBytes }))
  return { numericClass, layout: { layers: rows, settings } }
}

function rowsOf(given: BlockCase): Uint8Array {
  const rows = Buffer.alloc(blockBytes(kindOf(given).layout))
  for (let index = 0; index < rows.length / 2; index++) {
    rows.writeUInt16LE((given.rowsSeed + index) % 0x7c00, index * 2)
  }
  return rows
}

function vectorOf(given: BlockCase) {
  const kind = kindOf(given)
  const root = blockRoot(scopeOf(given), kind)
  const hashes = blockHashes(root, given.tokenIds)
  const hash = hashes[given.index]
  const names = { root, hashes, lookupKeys: hashes.map(blockLookupKey) }
  if (hash === undefined) return { ...given, ...names, head: null, rowsDigest: null, sealed: null }
  const start = given.index * blockTokens
  const tokensOfBlock = given.tokenIds.slice(start, start + blockTokens)
  const head = encodeBlockHead({ kind, index: given.index, tokenIds: tokensOfBlock })
  const rows = rowsOf(given)
  const sealed = sealBlock(hash, [head, rows], nonce)
  const plain = openBlock(hash, sealed, head.length + rows.length)
  assert.equal(Buffer.compare(checkBlock(head, plain), rows), 0)
  return {
    ...given,
    ...names,
    head: Buffer.from(head).toString('hex'),
    rowsDigest: digest(rows),
    /** Its SHA-256 and its first 64 bytes: the whole would fill pages. */
    sealed: { bytes: sealed.length, digest: digest(sealed), start: hex(sealed.subarray(0, 64)) },
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

describe('spec/vectors/blocks.json', () => {
  const vectors = cases.map(vectorOf)
  if (process.env['UPDATE'] === '1') {
    const head = {
      spec: ['spec/keys.md', 'spec/blocks.md'],
      nodeSecret: hex(nodeSecret),
      swarmSecret: hex(swarmSecret),
      nonce: hex(nonce),
      rows: 'half-precision numbers whose bits are (rowsSeed + position) mod 31744',
    }
    // One line each: lists of token ids would fill pages.
    const lines = vectors.map(vector => `    ${JSON.stringify(vector)}`).join(',\n')
    const text = JSON.stringify({ ...head, vectors: [] }, null, 2)
    writeFileSync(file, `${text.replace('[]\n}', `[\n${lines}\n  ]\n}`)}\n`)
  }
  const stored: { vectors: unknown } = JSON.parse(readFileSync(file, 'utf8'))

  it('holds what the code computes (UPDATE=1 rewrites it, to be reviewed as a diff)', () => {
    assert.deepEqual(stored.vectors, JSON.parse(JSON.stringify(vectors)))
  })

  for (const [index, vector] of vectors.entries()) {
    it(`is computed alike by the second implementation: ${vector.name}`, () => {
      const given = cases[index]
      assert.ok(given)
      const { root, hashes, lookupKeys } = vector
      const names = secondNames(scopeOf(given).salt, given)
      assert.deepEqual(names, { root, hashes, lookupKeys })
      const hash = names.hashes[given.index]
      if (hash === undefined) return assert.equal(vector.sealed, null)
      const head = secondHead(given, given.index)
      assert.equal(hex(head), vector.head)
      const sealed = secondSealed(hash, Buffer.concat([head, rowsOf(given)]), nonce)
      assert.equal(digest(sealed), vector.sealed?.digest)
    })
  }

  it('names of equal tokens differ by scope and by numeric class', () => {
    const [local, swarm, other] = vectors
    const firsts = [local, swarm, other].map(vector => vector?.hashes[0])
    assert.equal(new Set(firsts).size, 3)
  })
})
