import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isJsonObject } from '../../src/std/json.ts'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { testBed, until } from '../swarm/test-bed.ts'
import { bodyOf, ColdEngine, completionsPath } from './cold-engine.ts'

const maxTokens = 8
const wholeBlocks = 4
const promptTokens = wholeBlocks * 128 + 20
/** Before, at and behind each border between two blocks, and near the ends. */
const positions = [0, 1, 126, 127, 128, 129, 255, 256, 257, 383, 384, 511, 512, 513]

/** Said to be slow, so that whatever can be taken over is. */
const options = {
  engine: 'demo',
  prefillTokensPerSecond: 50,
  flags: { context: '2048', parallel: '1', threads: '1' },
} as const

describe('prompts that differ in one token', () => {
  it('share the blocks before it and nothing behind, on disk and in the swarm', async test => {
    const bed = testBed(test)
    const [first, cold] = await Promise.all([bed.start(options), ColdEngine.start(test)])
    const [second] = await Promise.all([
      bed.start({ ...options, peers: [first] }),
      bed.startMany(3, { peers: [first] }),
    ])
    await bed.connected([first, second], 4)
    const model = (await first.status()).models[0]?.name ?? ''
    const prompt = await cold.prompt(promptTokens, 0)
    const ask = (node: BedNode, tokenIds: readonly number[]): Promise<BedReply> =>
      node.ask(completionsPath, {
        ...bodyOf(model, tokenIds, maxTokens),
        // Greedy answers are the same, but none is another node's answer to the same request.
        seed: node === second ? 2 : 1,
      })
    // Kept the second time that it is asked for; those that are asked for once are not.
    await ask(first, [...prompt, 7])
    const whole = await ask(first, prompt)
    assert.equal(whole.text, (await cold.compute(prompt, maxTokens)).text)
    await until(first, 'placed', (_, { prefix }) => prefix?.swarm?.placed === wholeBlocks)
    await first.stop()
    const again = await bed.restart(first, { ...options, peers: [second] })

    for (const [turn, position] of positions.entries()) {
      // The other one's token is of another prompt each time.
      const changed = prompt.with(position, ((prompt[position] ?? 0) + 7 + turn) % 1_000)
      // What is the same before it, in whole blocks: the prompt's last token is always computed.
      const shared = Math.min(wholeBlocks, Math.floor(position / 128)) * 128
      const right = await cold.compute(changed, maxTokens)
      for (const node of [again, second]) {
        const reply = await ask(node, changed)
        const where = `token ${position}, ${node === again ? 'disk' : 'swarm'}`
        assert.equal(reply.text, right.text, where)
        const cached = cachedTokensOf(reply)
        assert.ok(cached >= shared && cached <= position, `${cached} tokens cached: ${where}`)
      }
    }
    const last = await ask(second, prompt)
    assert.ok(cachedTokensOf(last) >= wholeBlocks * 128)
    assert.match(last.headers.get('x-hyperspace-reason') ?? '', /fetching|resident|come from/)
  })
})

function cachedTokensOf({ body }: BedReply): number {
  const reply: unknown = JSON.parse(body)
  const usage = isJsonObject(reply) ? reply['usage'] : undefined
  const details = isJsonObject(usage) ? usage['prompt_tokens_details'] : undefined
  assert.ok(isJsonObject(details), body)
  return Number(details['cached_tokens'])
}
