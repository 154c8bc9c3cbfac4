import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { blockHashes, blockLookupKey, blockRoot, type StateKind } from './block-hash.ts'
import { localScope } from './scope.ts'

const kind: StateKind = {
  numericClass: 'class',
  layout: { layers: [{ keyBytes: 2, valueBytes: 2 }], settings: 's' },
}
const scope = localScope(new Uint8Array(32), undefined)
const root = blockRoot(scope, kind)

describe('names of blocks', () => {
  it('blockHashes() names whole blocks only', () => {
    const tokens = (count: number) => Array.from({ length: count }, (_, index) => index)
    for (const [count, blocks] of [
      [0, 0],
      [127, 0],
      [128, 1],
      [255, 1],
      [256, 2],
    ] as const) {
      assert.equal(blockHashes(root, tokens(count)).length, blocks)
    }
  })

  it('two prompts share the names of the blocks before the first token that differs', () => {
    const prompt = Array.from({ length: 5 * 128 }, (_, index) => index % 1_000)
    const names = blockHashes(root, prompt)
    fc.assert(
      fc.property(fc.nat(prompt.length - 1), fc.nat(2_000), (position, token) => {
        fc.pre(prompt[position] !== token)
        const others = blockHashes(root, prompt.with(position, token))
        for (const [index, name] of names.entries()) {
          assert.equal(others[index] === name, index < Math.floor(position / 128))
        }
      }),
    )
  })

  it('blockRoot() depends on scope, class and layout, however their texts are split', () => {
    const { layout } = kind
    const roots = [
      root,
      blockRoot(localScope(new Uint8Array(32), 'tenant'), kind),
      blockRoot(scope, { ...kind, numericClass: 'clas' }),
      blockRoot(scope, { ...kind, layout: { ...layout, settings: 't' } }),
      blockRoot(scope, { ...kind, layout: { ...layout, layers: [] } }),
    ]
    assert.equal(new Set(roots).size, roots.length)
  })

  it('blockLookupKey() does not tell the hash', () => {
    const [name] = blockHashes(root, Array(128).fill(1))
    assert.ok(name)
    assert.notEqual(blockLookupKey(name), name as string)
  })
})
