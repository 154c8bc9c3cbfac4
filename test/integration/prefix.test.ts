import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { post, startNode, type TestNode } from './test-node.ts'

const words = 'our shop sends parcels on weekdays and takes returns within thirty days of buying'
const systemText = Array.from({ length: 160 }, (_, at) => `Rule ${at}: ${words}.`).join(' ')

interface Answered {
  readonly text: string
  readonly headers: Headers
  readonly usage: { readonly prompt_tokens: number; readonly cached: number }
}

async function ask(node: TestNode, user: string, more: object = {}): Promise<Answered> {
  const reply = await post(`${node.url}/v1/chat/completions`, {
    model: modelOf(node),
    temperature: 0,
    max_tokens: 12,
    messages: [
      { role: 'system', content: systemText },
      { role: 'user', content: user },
    ],
    ...more,
  })
  assert.equal(reply.status, 200, await reply.clone().text())
  const body = (await reply.json()) as {
    choices: { message: { content: string } }[]
    usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } }
  }
  const { prompt_tokens, prompt_tokens_details } = body.usage
  return {
    text: body.choices[0]?.message.content ?? '',
    headers: reply.headers,
    usage: { prompt_tokens, cached: prompt_tokens_details.cached_tokens },
  }
}

function modelOf({ node }: TestNode): string {
  return node.status().models[0]?.name ?? ''
}

/** Samples of one metric by their labels. */
async function samples(node: TestNode, name: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${node.url}/metrics`)).text()
  const found = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^hyperspace_(\w+)(?:\{([^}]*)\})? (\S+)$/.exec(line)
    if (match?.[1] === name) found.set(match[2] ?? '', Number(match[3]))
  }
  return found
}

async function metricsAddUp(node: TestNode): Promise<ReadonlyMap<string, number>> {
  const prefill = await samples(node, 'prefill_tokens_total')
  const input = await samples(node, 'input_tokens_total')
  const sum = [...prefill.values()].reduce((total, count) => total + count, 0)
  assert.equal(sum, input.get(''))
  return prefill
}

/** Asks, restarts, asks something else on the same system text; and the same of a cold node. */
async function resumes(test: TestContext, flags: object, fake?: object): Promise<void> {
  const options = { flags: { ...flags }, ...(fake === undefined ? {} : { fake }) }
  const first = await startNode(test, options)
  const cold = await ask(first, 'May I return a parcel?')
  assert.equal(cold.headers.get('x-hyperspace-source'), 'engine')
  assert.equal(cold.usage.cached, 0)
  const again = await ask(first, 'When are parcels sent?')
  assert.equal(again.headers.get('x-hyperspace-source'), 'engine', 'resident state is the engine’s')
  assert.match(again.headers.get('x-hyperspace-reason') ?? '', /tokens (are|were) resident/)
  assert.ok(again.usage.cached >= 1_900)
  await metricsAddUp(first)

  const node = await first.restart()
  const warm = await ask(node, 'How many days do I have?')
  assert.equal(warm.headers.get('x-hyperspace-source'), 'prefix')
  const saved = Number(warm.headers.get('x-hyperspace-saved-tokens'))
  assert.ok(saved >= 1_900, `${saved} of ${warm.usage.prompt_tokens}`)
  assert.equal(warm.usage.cached, saved)
  assert.match(warm.headers.get('x-hyperspace-reason') ?? '', /tokens come from disk/)
  assert.match(warm.headers.get('cache-status') ?? '', new RegExp(`detail="disk=${saved}"`))
  const prefill = await metricsAddUp(node)
  assert.equal(prefill.get('source="disk"'), saved)
  assert.equal(prefill.get('source="computed"'), warm.usage.prompt_tokens - saved)

  const other = await startNode(test, options)
  const fresh = await ask(other, 'How many days do I have?')
  assert.equal(fresh.headers.get('x-hyperspace-source'), 'engine')
  assert.equal(warm.text, fresh.text)
  const { prefix } = node.node.status()
  assert.ok(prefix !== undefined && prefix.disk.blocks >= 15)
}

describe('the prefix cache of a node', () => {
  it('resumes from disk after a restart (fake engine)', async test => {
    await resumes(test, {}, {})
  })

  it('resumes from disk after a restart (demo model)', async test => {
    await resumes(test, { context: '8192', parallel: '2' })
  })

  it('keeps nothing with --no-kv', async test => {
    const node = await startNode(test, { fake: {}, flags: { kv: false } })
    assert.equal(node.node.status().prefix, undefined)
    await ask(node, 'one')
    const again = await ask(node, 'two')
    assert.ok(again.usage.cached >= 1_900, 'what is resident is still used')
    const next = await ask(await node.restart(), 'three')
    assert.equal(next.usage.cached, 0)
    assert.equal(next.headers.get('x-hyperspace-source'), 'engine')
  })

  it('gives everybody that follows one stream what the engine was spared once', async test => {
    const node = await startNode(test, { fake: {} })
    await ask(node, 'one')
    const all = await Promise.all(Array.from({ length: 8 }, () => ask(node, 'two')))
    assert.equal(new Set(all.map(({ text }) => text)).size, 1)
    const prefill = await metricsAddUp(node)
    const [some] = all
    assert.ok(some !== undefined)
    assert.equal(prefill.get('source="resident"'), some.usage.cached)
  })

  it('keeps API keys apart', async test => {
    const flags = { apiKey: ['key-one', 'key-two'] }
    const node = await startNode(test, { fake: {}, flags })
    const body = (user: string): object => ({
      model: modelOf(node),
      messages: [
        { role: 'system', content: systemText },
        { role: 'user', content: user },
      ],
    })
    const as = async (key: string, user: string): Promise<string | null> => {
      const headers = { authorization: `Bearer ${key}` }
      const reply = await post(`${node.url}/v1/chat/completions`, body(user), headers)
      assert.equal(reply.status, 200)
      return reply.headers.get('x-hyperspace-saved-tokens')
    }
    assert.equal(await as('key-one', 'a'), '0')
    assert.equal(await as('key-two', 'b'), '0')
    assert.ok(Number(await as('key-one', 'c')) >= 1_900)
  })
})
