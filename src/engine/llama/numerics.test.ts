import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startedEngine } from '../../../test/support/test-llama.ts'
import type { GeneratedToken } from '../../interface/engine.ts'
import { cutBlock, joinBlocks, layoutOf, parseStateFile } from '../state-file/state-file.ts'
import type { LlamaEngine } from './llama-engine.ts'
import type { NativeStateOptions } from './state/native-state.ts'
import type { TokenAccess } from './token-access.ts'

const signal = new AbortController().signal
/**
 * Token ids that mean nothing: the distribution is flat there, so a difference in the last bits
 * shows.
 */
const noise = pseudoRandomTokens(900)

/**
 * DESIGN §6: what was resident and who else was served must not change a single bit of an answer.
 */
describe('numerics contract', () => {
  const engines: LlamaEngine[] = []
  before(async () => {
    engines.push(await startedEngine({ parallel: 4 }), await startedEngine({ parallel: 1 }))
  })
  after(() => Promise.all(engines.map(engine => engine.stop())))

  const tokensOf = (index: number): TokenAccess => {
    const [model] = engines[index]?.models() ?? []
    assert.ok(model?.tokens !== undefined)
    return model.tokens
  }
  const warm = (prompt: readonly number[]): Promise<GeneratedToken[]> =>
    generate(tokensOf(0), prompt)
  const cold = async (prompt: readonly number[]): Promise<GeneratedToken[]> => {
    // Nothing in common with any prompt, so nothing is left to resume from.
    await generate(tokensOf(1), [2041, 2042])
    return await generate(tokensOf(1), prompt)
  }

  // Longer, shorter, on and beside the edges of blocks and half blocks; after each other, so that
  // later ones resume.
  for (const length of [
    300, 340, 400, 200, 130, 129, 128, 64, 65, 66, 193, 192, 257, 320, 321, 350, 383, 384, 700, 650,
    705, 20, 25,
  ]) {
    it(`${length} tokens resumed equal as many computed cold, to the last bit`, async () => {
      const prompt = noise.slice(0, length)
      assert.deepEqual(await warm(prompt), await cold(prompt))
    })
  }

  it('a conversation that grows equals the cold one', async () => {
    let prompt = noise.slice(0, 100)
    for (let turn = 0; turn < 4; turn++) {
      const answer = await warm(prompt)
      assert.deepEqual(answer, await cold(prompt))
      prompt = [...prompt, ...answer.map(token => token.tokenId), ...noise.slice(700, 745)]
    }
  })

  it('prompts beside each other equal the same prompts alone', async () => {
    const prompts = [300, 290, 280, 270, 260, 250, 240, 500, 1].map(length =>
      noise.slice(0, length),
    )
    const together = await Promise.all(prompts.map(warm))
    for (const [index, prompt] of prompts.entries()) {
      assert.deepEqual(together[index], await cold(prompt), `${prompt.length} tokens`)
    }
  })

  it('score() of an answer equals what was told while it was written', async () => {
    const prompt = noise.slice(0, 333)
    const answer = await warm(prompt)
    const all = [...prompt, ...answer.map(token => token.tokenId)]
    const scores = await tokensOf(1).score(all, { from: prompt.length, topLogprobs: 3, signal })
    assert.deepEqual(
      scores.map(({ tokenId, logprob, top }) => ({ tokenId, logprob, top })),
      answer,
    )
  })

  // Imported state ends inside the prompt's blocks, at their end, and at every border between.
  for (const [length, imported] of [
    [300, 256],
    [300, 128],
    [129, 128],
    [257, 256],
    [700, 640],
    [700, 384],
    [520, 512],
    [340, 256],
    [340, 128],
    [193, 128],
    [384, 256],
  ] as const) {
    it(`${length} tokens, ${imported} of them imported, equal as many computed cold`, async t => {
      const folder = await mkdtemp(join(tmpdir(), 'hyperspace-numerics-'))
      t.after(() => rm(folder, { recursive: true }))
      const prompt = noise.slice(0, length)
      const tokenIds = prompt.slice(0, imported)
      const [save, load] = ['save', 'load'].map(name => ({ path: join(folder, name), tokenIds }))
      assert.ok(save !== undefined && load !== undefined)
      // Computed beside others, and with another prompt behind it.
      await Promise.all([
        generate(tokensOf(0), [...tokenIds, ...noise.slice(5, 60)], { save }),
        warm(noise.slice(1, 300)),
        warm(noise.slice(2, 400)),
      ])
      const state = parseStateFile(await readFile(save.path))
      const blocks = Array.from({ length: imported / 128 }, (_, index) => cutBlock(state, index))
      const layout = layoutOf(state, '')
      const pieces = joinBlocks({ layout, tokenIds, blocks, sequences: 1 })
      await writeFile(load.path, Buffer.concat(pieces))
      const expected = await cold(prompt)
      await generate(tokensOf(1), [2041, 2042])
      assert.deepEqual(await generate(tokensOf(1), prompt, { load }), expected)
    })
  }
})

async function generate(
  tokens: TokenAccess,
  prompt: readonly number[],
  state: NativeStateOptions = {},
): Promise<GeneratedToken[]> {
  const drawn = { sampling: { temperature: 0 }, seed: 1n, maxTokens: 10, topLogprobs: 3 }
  const options = { ...drawn, ...state, signal }
  return await Array.fromAsync(tokens.generateTokens(prompt, options))
}

/** Ordinary ids below the special ones. */
function pseudoRandomTokens(count: number): number[] {
  let state = 12_345
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return state % 2_000
  })
}
