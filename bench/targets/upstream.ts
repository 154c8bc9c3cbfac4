import { createServer, type ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'

/**
 * An OpenAI-compatible server: the same answer of `--tokens` words, at once or after `--delay`
 * milliseconds.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    tokens: { type: 'string', default: '16' },
    delay: { type: 'string', default: '0' },
  },
})
const delayMs = Number(values.delay)
const model = 'bench'
const words = Array.from({ length: Number(values.tokens) }, (_, index) => `word${index % 10} `)
const usage = {
  prompt_tokens: 500,
  completion_tokens: words.length,
  total_tokens: 500 + words.length,
}
const head = { id: 'chatcmpl-bench', created: 1_700_000_000, model }

const body = JSON.stringify({
  ...head,
  object: 'chat.completion',
  choices: [
    { index: 0, message: { role: 'assistant', content: words.join('') }, finish_reason: 'stop' },
  ],
  usage,
})

const stream = [
  ...words.map(content => chunkOf({ delta: { content }, finish_reason: null })),
  chunkOf({ delta: {}, finish_reason: 'stop' }),
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`,
  'data: [DONE]\n\n',
].join('')

createServer((message, reply) => {
  const chunks: Buffer[] = []
  message.on('data', (chunk: Buffer) => chunks.push(chunk))
  message.on('end', () => {
    if (message.url === '/v1/models') sendJson(reply, JSON.stringify({ data: [{ id: model }] }))
    else if (message.method !== 'POST') reply.writeHead(404).end()
    else if (delayMs > 0) setTimeout(() => answer(reply, Buffer.concat(chunks)), delayMs)
    else answer(reply, Buffer.concat(chunks))
  })
}).listen(Number(values.port), '127.0.0.1')

function answer(reply: ServerResponse, question: Buffer): void {
  if (question.includes('"stream":true')) {
    reply.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream)
  } else sendJson(reply, body)
}

function chunkOf(choice: object): string {
  const value = { ...head, object: 'chat.completion.chunk', choices: [{ index: 0, ...choice }] }
  return `data: ${JSON.stringify(value)}\n\n`
}

function sendJson(reply: ServerResponse, text: string): void {
  reply.writeHead(200, { 'content-type': 'application/json' }).end(text)
}
