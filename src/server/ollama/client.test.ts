import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ollama } from 'ollama'
import { eventsOf } from '../../cache/events-of.ts'
import { modelNotFound } from '../../errors.ts'
import type { Completion } from '../../interface/generation.ts'
import { modelIdFromName } from '../../key/model-id.ts'
import type { WireFormat } from '../wire-format.ts'
import { ollamaChat } from './chat.ts'
import { encodeError } from './errors.ts'
import { ollamaGenerate } from './generate.ts'

/** The real client, with our bytes for a network. */
function client(body: string, contentType = 'application/json', status = 200): Ollama {
  const headers = { 'content-type': contentType }
  return new Ollama({ fetch: async () => new Response(body, { status, headers }) })
}

const answer: Completion = {
  modelId: modelIdFromName('tiny'),
  created: 1_700_000_000,
  choices: [
    {
      parts: [
        { type: 'reasoning', text: 'Hm' },
        { type: 'text', text: 'Rain' },
        { type: 'tool-call', id: 't1', name: 'weather', arguments: '{"city":"Oslo"}' },
      ],
      finish: 'tool_calls',
    },
  ],
  usage: { promptTokens: 20, cachedTokens: 16, completionTokens: 9, reasoningTokens: 3 },
}
const messages = [{ role: 'user', content: 'Hi' }]

function contextFor(format: WireFormat) {
  const parsed = format.parse({ model: 'tiny', messages, prompt: 'Hi' })
  return { id: 'a'.repeat(24), created: answer.created, parsed, isHit: true }
}

function streamOf(format: WireFormat): string {
  const encoder = format.openStream(contextFor(format))
  return [...eventsOf(answer)].map(event => encoder.encode(event)).join('') + encoder.end()
}

describe("Ollama's own client", () => {
  it('reads a chat as a body and as a stream', async () => {
    const body = ollamaChat.encodeReply(answer, contextFor(ollamaChat))
    const whole = await client(body).chat({ model: 'tiny', messages })
    assert.equal(whole.message.content, 'Rain')
    assert.equal(whole.message.thinking, 'Hm')
    assert.deepEqual(whole.message.tool_calls?.[0]?.function.arguments, { city: 'Oslo' })
    assert.deepEqual([whole.prompt_eval_count, whole.eval_count], [20, 9])

    const streaming = client(streamOf(ollamaChat), 'application/x-ndjson')
    let text = ''
    let calls = 0
    for await (const piece of await streaming.chat({ model: 'tiny', messages, stream: true })) {
      text += piece.message.content
      calls += piece.message.tool_calls?.length ?? 0
      if (piece.done) assert.equal(piece.eval_count, 9)
    }
    assert.deepEqual([text, calls], ['Rain', 1])
  })

  it('reads a generated text', async () => {
    const streaming = client(streamOf(ollamaGenerate), 'application/x-ndjson')
    let text = ''
    const pieces = await streaming.generate({ model: 'tiny', prompt: 'Hi', stream: true })
    for await (const piece of pieces) text += piece.response ?? ''
    assert.equal(text, 'Rain')
  })

  it('throws our errors with their text', async () => {
    const body = encodeError(modelNotFound('huge', ['tiny']))
    await assert.rejects(
      client(body, 'application/json', 404).chat({ model: 'huge', messages }),
      /No model 'huge' here\. Available: tiny/,
    )
  })

  it('throws the error that breaks a stream off', async () => {
    const encoder = ollamaChat.openStream(contextFor(ollamaChat))
    const body = encoder.fail(modelNotFound('huge', []), 'r')
    const stream = await client(body, 'application/x-ndjson').chat({
      model: 'tiny',
      messages,
      stream: true,
    })
    await assert.rejects(stream[Symbol.asyncIterator]().next(), /No model 'huge'/)
  })
})
