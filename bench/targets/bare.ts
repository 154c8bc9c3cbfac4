import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'

/**
 * What Node can do at best: reads the body, hashes it and replies bytes that it holds already. One
 * path per reply, so that a body and a stream are compared with the same bytes.
 */
const { values } = parseArgs({
  options: { port: { type: 'string' }, reply: { type: 'string' }, stream: { type: 'string' } },
})
const replies = new Map([
  ['/reply', { bytes: readFileSync(values.reply ?? ''), type: 'application/json' }],
  ['/stream', { bytes: readFileSync(values.stream ?? ''), type: 'text/event-stream' }],
])
const digests = new Set<string>()

createServer((message, reply) => {
  const chunks: Buffer[] = []
  message.on('data', (chunk: Buffer) => chunks.push(chunk))
  message.on('end', () => {
    digests.add(hash('sha256', Buffer.concat(chunks), 'base64'))
    const found = replies.get(message.url ?? '')
    if (found === undefined) {
      reply.writeHead(404).end()
      return
    }
    const { bytes, type } = found
    reply.writeHead(200, { 'content-type': type, 'content-length': bytes.length })
    reply.end(bytes)
  })
}).listen(Number(values.port), '127.0.0.1')
