import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { post, startNode } from './test-node.ts'

const question = 'What is a KV cache?'
const chatBody = (more: object = {}): object => ({
  model: 'tiny-chat',
  messages: [{ role: 'user', content: question }],
  ...more,
})

interface ChatReply {
  readonly id: string
  readonly created: number
  readonly choices: readonly { readonly message: { readonly content: string } }[]
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly prompt_tokens_details: { readonly cached_tokens: number }
  }
}

const read = async (reply: Response): Promise<ChatReply> => {
  assert.equal(reply.status, 200, reply.ok ? '' : await reply.clone().text())
  const value: ChatReply = JSON.parse(await reply.text())
  return value
}

describe('a node with the demo model', () => {
  it('answers from the engine, then from memory, and from disk after a restart', async test => {
    const node = await startNode(test)
    const first = await post(`${node.url}/v1/chat/completions`, chatBody())
    assert.equal(first.headers.get('x-hyperspace-source'), 'engine')
    assert.match(first.headers.get('cache-status') ?? '', /^hyperspace; fwd=miss; stored$/)
    const original = await read(first)
    const text = original.choices[0]?.message.content ?? ''
    assert.match(text, /key|cache|token|attention/i)

    const second = await post(`${node.url}/v1/chat/completions`, chatBody())
    assert.equal(second.headers.get('x-hyperspace-source'), 'memory')
    assert.match(
      second.headers.get('cache-status') ?? '',
      /^hyperspace; hit; ttl=\d+; detail=memory$/,
    )
    const hit = await read(second)
    assert.deepEqual(hit.choices, original.choices)
    assert.equal(hit.id, original.id)
    assert.equal(hit.created, original.created)
    assert.equal(hit.usage.prompt_tokens_details.cached_tokens, original.usage.prompt_tokens)
    assert.equal(
      Number(second.headers.get('x-hyperspace-saved-tokens')),
      original.usage.prompt_tokens + original.usage.completion_tokens,
    )

    const again = await node.restart()
    const third = await post(`${again.url}/v1/chat/completions`, chatBody())
    assert.equal(third.headers.get('x-hyperspace-source'), 'disk')
    assert.deepEqual((await read(third)).choices, original.choices)
    const fourth = await post(`${again.url}/v1/chat/completions`, chatBody())
    assert.equal(fourth.headers.get('x-hyperspace-source'), 'memory')
  })

  it('serves one entry through every API, streaming and not', async test => {
    const node = await startNode(test)
    const original = await read(await post(`${node.url}/v1/chat/completions`, chatBody()))
    const text = original.choices[0]?.message.content ?? ''
    const messages = [{ role: 'user', content: question }]
    const others: readonly (readonly [string, object])[] = [
      ['/v1/chat/completions', { messages, stream: true }],
      ['/v1/responses', { input: question }],
      ['/v1/responses', { input: messages, stream: true }],
      ['/v1/messages', { messages, max_tokens: 400 }],
      ['/v1/messages', { messages, max_tokens: 1_000, stream: true }],
      ['/api/chat', { messages }],
      ['/api/chat', { messages, stream: false }],
      ['/api/generate', { prompt: question, stream: false }],
    ]
    for (const [path, body] of others) {
      const reply = await post(`${node.url}${path}`, { model: 'tiny-chat', ...body })
      const raw = await reply.text()
      assert.equal(reply.status, 200, `${path}: ${raw}`)
      assert.equal(
        reply.headers.get('x-hyperspace-source'),
        'memory',
        `${path} ${JSON.stringify(body)}`,
      )
      assert.ok(raw.includes(JSON.stringify(text).slice(1, -1)), `${path}: ${raw}`)
    }
    assert.equal(node.node.status().cache.misses, 1)
  })
})
