import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { onlyModel, startedEngine } from '../../../test/support/test-llama.ts'
import type { GeneratedToken, TokenModel } from '../../interface/engine.ts'
import type { LlamaEngine } from './llama-engine.ts'

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

  const tokensOf = (index: number): TokenModel => {
    const engine = engines[index]
    assert.ok(engine !== undefined)
    const { tokens } = onlyModel(engine)
    assert.ok(tokens !== undefined)
    return tokens
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
  for (const length of [300, 340, 400, 200, 130, 129, 128, 64, 700, 650, 20, 25]) {
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

  it('state tells how many whole blocks are resident', async () => {
    const { state } = tokensOf(1)
    assert.ok('residentTokens' in state)
    assert.equal(state.bytesPerToken, 1_024, 'as the model card says')
    await cold(noise.slice(0, 300))
    assert.equal(state.residentTokens(noise.slice(0, 300), 128), 256)
    assert.equal(state.residentTokens(noise.slice(0, 200), 128), 128)
    assert.equal(state.residentTokens(noise.slice(1, 300), 128), 0)
  })
})

async function generate(tokens: TokenModel, prompt: readonly number[]): Promise<GeneratedToken[]> {
  const options = { sampling: { temperature: 0 }, seed: 1n, maxTokens: 10, topLogprobs: 3, signal }
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
