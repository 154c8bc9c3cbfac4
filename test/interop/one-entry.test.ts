import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { startNode } from '../integration/test-node.ts'

interface Answer {
  readonly text: string
  readonly source: string | null
}

/**
 * What every client is asked to say: the text of an answer, and the header that tells its source.
 */
type Ask = (url: string, question: string) => Promise<Answer>

const model = 'tiny-chat'
const source = (reply: Response): string | null => reply.headers.get('x-hyperspace-source')
const openaiOf = (url: string): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'x' })
const anthropicOf = (url: string): Anthropic => new Anthropic({ baseURL: url, apiKey: 'x' })

/** The client of Ollama shows no headers: its fetch does. */
async function throughOllama(
  url: string,
  ask: (ollama: Ollama) => Promise<string>,
): Promise<Answer> {
  const sources: (string | null)[] = []
  const ollama = new Ollama({
    host: url,
    fetch: async (input, init) => {
      const reply = await fetch(input, init)
      sources.push(source(reply))
      return reply
    },
  })
  const text = await ask(ollama)
  assert.equal(sources.length, 1)
  return { text, source: sources[0] ?? null }
}

const ways: { readonly [name: string]: Ask } = {
  'chat/completions': async (url, content) => {
    const messages = [{ role: 'user' as const, content }]
    const asked = openaiOf(url).chat.completions.create({ model, messages })
    const { data, response } = await asked.withResponse()
    return { text: data.choices[0]?.message.content ?? '', source: source(response) }
  },
  'chat/completions, streamed': async (url, content) => {
    const messages = [{ role: 'user' as const, content }]
    const asked = openaiOf(url).chat.completions.create({ model, messages, stream: true })
    const { data, response } = await asked.withResponse()
    let text = ''
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? ''
    return { text, source: source(response) }
  },
  responses: async (url, input) => {
    const asked = openaiOf(url).responses.create({ model, input })
    const { data, response } = await asked.withResponse()
    return { text: data.output_text, source: source(response) }
  },
  'responses, streamed': async (url, input) => {
    const asked = openaiOf(url).responses.create({ model, input, stream: true })
    const { data, response } = await asked.withResponse()
    let text = ''
    for await (const event of data) {
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    return { text, source: source(response) }
  },
  messages: async (url, content) => {
    const messages = [{ role: 'user' as const, content }]
    const asked = anthropicOf(url).messages.create({ model, max_tokens: 500, messages })
    const { data, response } = await asked.withResponse()
    const [block] = data.content
    return { text: block?.type === 'text' ? block.text : '', source: source(response) }
  },
  'messages, streamed': async (url, content) => {
    const messages = [{ role: 'user' as const, content }]
    const body = { model, max_tokens: 500, messages, stream: true as const }
    const { data, response } = await anthropicOf(url).messages.create(body).withResponse()
    let text = ''
    for await (const event of data) {
      if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
        text += event.delta.text
      }
    }
    return { text, source: source(response) }
  },
  '/api/chat': (url, content) =>
    throughOllama(url, async ollama => {
      const { message } = await ollama.chat({ model, messages: [{ role: 'user', content }] })
      return message.content
    }),
  '/api/generate, streamed': (url, prompt) =>
    throughOllama(url, async ollama => {
      let text = ''
      for await (const piece of await ollama.generate({ model, prompt, stream: true })) {
        text += piece.response
      }
      return text
    }),
}

const questions = [
  'What is Hyperspace?',
  'What is a KV cache?',
  'Is the 90% figure real?',
  'Do I need a GPU for this?',
  'The ATM ate my card',
  'What is erasure coding?',
  'How do I activate my card?',
  'Who are you?',
]

describe('official clients of one node', () => {
  it('hit the entry that any other of them made, and read the same text', async test => {
    const { url, node } = await startNode(test)
    const names = Object.keys(ways)
    assert.ok(questions.length >= names.length)
    for (const [index, first] of names.entries()) {
      const question = questions[index] ?? ''
      const original = await ways[first]?.(url, question)
      assert.equal(original?.source, 'engine', `${first}: ${question}`)
      assert.ok(original.text.length > 10)
      for (const name of names) {
        const answer = await ways[name]?.(url, question)
        assert.deepEqual(answer, { text: original.text, source: 'memory' }, `${first} → ${name}`)
      }
    }
    assert.equal(node.status().cache.misses, names.length)
  })
})
