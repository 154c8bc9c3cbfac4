import assert from 'node:assert/strict'
import { it } from 'node:test'
import { blockHashes, blockLookupKey, blockRoot } from '../../key/block-hash.ts'
import { localScope } from '../../key/scope.ts'
import { blockAt, blocksOf } from './prompt-blocks.ts'

const scope = localScope(new Uint8Array(32), undefined)
const layout = { layers: [{ keyBytes: 2, valueBytes: 2 }], settings: '' }
const model = { numericClass: 'test' }

it('blocksOf() names the blocks of a long prompt over several turns, as at once', async () => {
  const tokenIds = Array.from({ length: 1_300 * 128 + 5 }, (_, at) => (at * 7_919) % 50_000)
  let turns = 0
  const count = (): void => {
    turns += 1
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  const prompt = { tokenIds, headTokens: 0, markTokens: [] }
  const blocks = await blocksOf(prompt, model, { layout }, scope)
  clearImmediate(counting)
  assert.ok(turns >= 2, `${turns} turns for others`)
  const root = blockRoot(scope, { ...model, layout })
  assert.equal(blocks.root, root)
  assert.deepEqual(blocks.hashes, blockHashes(root, tokenIds))
  assert.deepEqual(blocks.keys, blocks.hashes.map(blockLookupKey))
  assert.equal(blocks.usableMax, 1_300)
  assert.deepEqual(blockAt(blocks, 1_299).tokenIds, tokenIds.slice(1_299 * 128, 1_300 * 128))
})
