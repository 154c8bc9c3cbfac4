import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { tinyChatPath } from '../support/test-llama.ts'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { testBed, until } from '../swarm/test-bed.ts'
import { bodyOf, ColdEngine, completionsPath } from './cold-engine.ts'

/** The same model in another precision; not part of the repository. */
const f16Path = fileURLToPath(
  new URL('../../../shared/models/tiny-chat/tiny-chat-f16.gguf', import.meta.url),
)
const maxTokens = 12
const blocks = 4
const promptTokens = blocks * 128 + 20

function temporaryFolder(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-model-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The demo model with other weights: as many bytes, the same shape, the same tokenizer. */
function otherWeights(folder: string): string {
  const bytes = readFileSync(tinyChatPath)
  for (let at = bytes.length >> 1; at < bytes.length; at += 3) bytes[at] = (bytes[at] ?? 0) ^ 0x0f
  const path = join(folder, 'other.gguf')
  writeFileSync(path, bytes)
  return path
}

describe('a model that another file replaces under its name', () => {
  it('is given none of its state, on disk or in the swarm, and finds it when it is back', async test => {
    const folder = temporaryFolder(test)
    const path = join(folder, 'model.gguf')
    const others = [otherWeights(folder), ...(existsSync(f16Path) ? [f16Path] : [])]
    copyFileSync(tinyChatPath, path)

    const bed = testBed(test)
    const options = {
      engine: 'demo',
      prefillTokensPerSecond: 50,
      flags: { model: [path], context: '2048', parallel: '1', threads: '1' },
    } as const
    const [first, keeper] = await Promise.all([bed.start(options), ColdEngine.start(test)])
    const prompt = await keeper.prompt(promptTokens, 0)
    const body = { ...bodyOf('model', prompt, maxTokens), prompt_cache_key: 'kept at once' }
    const truth = await keeper.compute(prompt, maxTokens)
    const ask = (node: BedNode): Promise<BedReply> => node.ask(completionsPath, body)
    const computed = await ask(first)
    assert.equal(computed.text, truth.text, computed.body)
    await until(first, 'stored', (_, { prefix }) => prefix?.disk.blocks === blocks)

    const texts: string[] = []
    let node = first
    for (const other of others) {
      await node.stop()
      copyFileSync(other, path)
      node = await bed.restart(node, options)
      const own = (await (await ColdEngine.start(test, other)).compute(prompt, maxTokens)).text
      texts.push(own)
      const reply = await ask(node)
      assert.equal(reply.text, own, other)
      assert.equal(reply.headers.get('x-hyperspace-saved-tokens'), '0', other)
    }
    assert.notEqual(texts[0], truth.text, 'other weights say something else')
    await node.stop()
    copyFileSync(tinyChatPath, path)
    node = await bed.restart(node, options)
    const longer = await node.ask(completionsPath, { ...body, max_tokens: maxTokens + 1 })
    assert.ok(longer.text.startsWith(truth.text), longer.text)
    assert.equal(longer.source, 'prefix', longer.headers.get('x-hyperspace-reason') ?? '')

    // And a member of the swarm that calls the other model by the same name.
    const [other = ''] = others
    const namesake = join(temporaryFolder(test), 'model.gguf')
    copyFileSync(other, namesake)
    const flags = { ...options.flags, model: [namesake] }
    const peer = await bed.start({ ...options, peers: [node], flags })
    await bed.connected([node, peer])
    await until(node, 'placed', (_, { prefix }) => prefix?.swarm?.placed === blocks)
    const theirs = await ask(peer)
    assert.equal(theirs.text, texts[0])
    assert.equal(theirs.headers.get('x-hyperspace-saved-tokens'), '0')
  })
})
