import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BlockHash } from '../../../key/block-hash.ts'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { localScope } from '../../../key/scope.ts'
import { unauditedBlocksMax } from '../../../limits.ts'
import { blocksOf, type PromptBlocks } from '../prompt-blocks.ts'
import { type BlockOrigin, ownOrigin } from '../tiers/block-note.ts'
import { ResidentOrigins } from './resident-origins.ts'

const issuer = peerIdOfPublicKey(new Uint8Array(32).fill(1))
const scope = localScope(new Uint8Array(32), undefined)
const layout = { layers: [{ keyBytes: 2, valueBytes: 2 }], settings: '' }

/** A prompt of blocks that each hold one token 128 times. */
async function prompt(...tokens: readonly number[]): Promise<PromptBlocks> {
  const tokenIds = tokens.flatMap(token => Array.from({ length: 128 }, () => token))
  const model = { numericClass: 'test' }
  return await blocksOf({ tokenIds, headTokens: 0, markTokens: [] }, model, { layout }, scope)
}

function sent(run: string, upTo: number, isAudited = false): BlockOrigin {
  return { type: 'peer', issuer, run, upTo, isAudited }
}

describe('ResidentOrigins', () => {
  it('of() is what was noted, and behind it what was computed on top of that', async () => {
    const origins = new ResidentOrigins()
    const blocks = await prompt(1, 2, 3, 4)
    assert.deepEqual(origins.of(blocks, 512), [ownOrigin, ownOrigin, ownOrigin, ownOrigin])
    origins.set(blocks, 1, sent('a', 1))
    const based = { ...sent('a', 1), type: 'based' }
    assert.deepEqual(origins.of(blocks, 512), [ownOrigin, sent('a', 1), based, based])
    assert.deepEqual(origins.of(await prompt(1, 7, 3), 384), [ownOrigin, ownOrigin, ownOrigin])
  })

  it('of() takes a block that was there in part for the worst of those in its place', async () => {
    const origins = new ResidentOrigins()
    const other = await prompt(1, 9, 3)
    assert.deepEqual(origins.of(other, 128 + 64), [ownOrigin, ownOrigin])
    origins.set(await prompt(1, 2), 1, sent('a', 1, true))
    const [, audited] = origins.of(other, 128 + 64)
    assert.deepEqual(audited, { ...sent('a', 1, true), type: 'based' })
    origins.set(await prompt(1, 3), 1, sent('b', 1))
    origins.set(await prompt(1, 4), 1, sent('c', 1, true))
    const [, worst] = origins.of(other, 128 + 64)
    assert.deepEqual(worst, { ...sent('b', 1), type: 'based' })
    assert.deepEqual(origins.of(other, 64), [ownOrigin], 'elsewhere in the prompt')
    assert.deepEqual(origins.of(await prompt(1), 128 + 5)[1], worst, 'a prompt that ends in it')
    origins.set(await prompt(5), 0, sent('d', 0))
    assert.deepEqual(origins.of(other, 64), [{ ...sent('d', 0), type: 'based' }])
  })

  it('revise() changes what is noted', async () => {
    const origins = new ResidentOrigins()
    const blocks = await prompt(1, 2)
    origins.set(blocks, 0, sent('a', 0))
    origins.set(blocks, 1, sent('b', 1))
    origins.revise(origin =>
      origin.type !== 'own' && origin.run === 'a' ? { ...origin, isAudited: true } : undefined,
    )
    assert.deepEqual(origins.of(blocks, 256), [sent('a', 0, true), sent('b', 1)])
  })

  it('forgets what was used longest ago past its limit', async () => {
    const origins = new ResidentOrigins()
    const [kept, lost] = [await prompt(1), await prompt(2)]
    origins.set(lost, 0, sent('a', 0))
    origins.set(kept, 0, sent('b', 0))
    origins.of(kept, 128)
    const { keys } = lost
    for (let at = 1; at < unauditedBlocksMax; at++) {
      const key = `${at}` as (typeof keys)[number]
      origins.set({ ...lost, root: 'elsewhere' as BlockHash, keys: [key] }, 0, sent('c', 0))
    }
    assert.deepEqual(origins.of(kept, 128), [sent('b', 0)])
    assert.deepEqual(origins.of(lost, 128), [ownOrigin])
    assert.deepEqual(origins.of(lost, 64), [{ ...sent('b', 0), type: 'based' }])
  })
})
