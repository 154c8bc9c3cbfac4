import type { IncomingMessage } from 'node:http'
import { OperationError, requestInvalid } from '../errors.ts'
import { bodyBytesMax, bodyDepthMax } from '../limits.ts'
import { isJsonObject, type JsonObject } from '../std/json.ts'

/**
 * The whole body of a request.
 * @throws body_too_large as soon as it is known; aborted when the client goes away first
 */
export function readBody(message: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const declared = Number(message.headers['content-length'] ?? 0)
    if (declared > bodyBytesMax) return reject(bodyTooLarge())
    const chunks: Buffer[] = []
    let received = 0
    message.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received > bodyBytesMax) {
        message.removeAllListeners('data')
        message.resume()
        reject(bodyTooLarge())
        return
      }
      chunks.push(chunk)
    })
    message.on('end', () => {
      const [first] = chunks
      resolve(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks))
    })
    // A client that goes away is an error too, where somebody listens for it.
    message.on('error', () => {
      const gone = 'The client went away before its request was complete'
      reject(new OperationError('aborted', gone, { origin: 'client' }))
    })
  })
}

/** @throws request_invalid for malformed, too deep or non-object JSON */
export function parseJsonBody(bytes: Uint8Array): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const why = error instanceof SyntaxError ? withoutExcerpt(error.message) : 'it is not UTF-8'
    throw requestInvalid('body', `The body is not valid JSON: ${why}`)
  }
  if (!isJsonObject(value)) {
    throw requestInvalid('body', `The body must be a JSON object, not ${jsonType(value)}`)
  }
  if (isDeeperThan(value, bodyDepthMax)) {
    throw requestInvalid('body', `The body is nested deeper than ${bodyDepthMax} levels`)
  }
  return value
}

/** V8's messages quote the text around the mistake, which is somebody's prompt. */
function withoutExcerpt(message: string): string {
  const position = /at position \d+/.exec(message)?.[0]
  return position === undefined
    ? 'it ends too early or holds a stray character'
    : `a mistake ${position}`
}

function jsonType(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  for (const item of Object.values(value)) {
    if (isDeeperThan(item, levels - 1)) return true
  }
  return false
}

function bodyTooLarge(): OperationError {
  return new OperationError('body_too_large', `The body is larger than ${bodyBytesMax} bytes`, {
    origin: 'client',
  })
}
