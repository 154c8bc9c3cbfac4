import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { OperationError } from '../errors.ts'
import type { Log } from '../interface/log.ts'
import type { ApiName } from '../interface/metrics.ts'
import type { AnswerComponents, Answerer } from './answer.ts'
import type { CompletionEndpoint, PlainEndpoint, PlainReply } from './endpoint.ts'
import type { Guard } from './guard.ts'
import { asOperationError, httpStatusOf } from './http-status.ts'
import { parseJsonBody, readBody } from './read-body.ts'
import { errorEncoderOf } from './reply/error-encoder.ts'
import { RequestIds } from './reply/request-ids.ts'
import type { Router } from './router.ts'
import type { ErrorEncoder } from './wire-format.ts'

export interface RequestComponents extends AnswerComponents {
  readonly guard: Guard
  readonly router: Router
  readonly answerer: Answerer
  readonly log: Log
}

export interface RequestOptions {
  /** Gives access to the admin endpoints. */
  readonly adminToken: string
}

interface Call {
  readonly message: IncomingMessage
  readonly reply: ServerResponse
  readonly requestId: string
}

/** What happens to a request between its head and its reply, whatever it asks for. */
export class RequestHandler {
  readonly #parts: RequestComponents
  readonly #options: RequestOptions
  readonly #requestIds: RequestIds
  #runningCount = 0
  #isDraining = false
  #onDrained: () => void = () => undefined

  constructor(components: RequestComponents, options: RequestOptions) {
    this.#parts = components
    this.#options = options
    this.#requestIds = new RequestIds(components.random)
  }

  get runningCount(): number {
    return this.#runningCount
  }

  /**
   * Never throws: what goes wrong is a reply, or a cut connection where the head is out already.
   */
  async handle(message: IncomingMessage, reply: ServerResponse): Promise<void> {
    const { clock, guard, metrics, router } = this.#parts
    const startMs = clock.monotonicMs()
    this.#runningCount += 1
    const call = { message, reply, requestId: this.#requestIds.next() }
    const [path, query] = splitPath(message.url ?? '/')
    let api: ApiName = 'other'
    let encodeError = errorEncoderOf(path)
    try {
      if (message.method === 'OPTIONS') return this.#answerPreflight(call)
      const { endpoint, rest } = router.find(message.method ?? 'GET', path)
      encodeError = endpoint.encodeError
      api = endpoint.kind === 'completion' ? endpoint.format.api : endpoint.api
      guard.checkOrigin(message.headers)
      this.#allowOrigin(call)
      if (this.#isDraining) throw draining()
      if (endpoint.kind === 'completion') await this.#serveCompletion(call, endpoint, path)
      else await this.#servePlain(call, endpoint, { query, rest })
    } catch (error) {
      this.#fail(call, asOperationError(error), encodeError)
    } finally {
      metrics.requestFinished(api, reply.statusCode, (clock.monotonicMs() - startMs) / 1_000)
      this.#runningCount -= 1
      if (this.#runningCount === 0) this.#onDrained()
    }
  }

  /** Takes no more requests; resolves when the last one that runs has ended. */
  drain(): Promise<void> {
    this.#isDraining = true
    if (this.#runningCount === 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#onDrained = resolve
    })
  }

  async #serveCompletion(call: Call, endpoint: CompletionEndpoint, path: string): Promise<void> {
    const { guard, answerer } = this.#parts
    const { message, reply, requestId } = call
    const scope = guard.scopeOf(message.headers)
    const body = await readBody(message)
    await answerer.answer(endpoint, { message, reply, path, body, scope, requestId })
  }

  async #servePlain(
    call: Call,
    endpoint: PlainEndpoint,
    target: { readonly query: string; readonly rest: string },
  ): Promise<void> {
    const { message, reply } = call
    const gone = new AbortController()
    reply.once('close', () => gone.abort(new DOMException('The client has gone', 'AbortError')))
    const answer = await endpoint.handle({
      rest: target.rest,
      query: new URLSearchParams(target.query),
      headers: message.headers,
      scope: this.#parts.guard.scopeFor(endpoint.access, message.headers, this.#options.adminToken),
      signal: gone.signal,
      json: async () => parseJsonBody(await readBody(message)),
      bytes: () => readBody(message),
    })
    this.#sendPlain(call, answer)
  }

  #sendPlain({ message, reply, requestId }: Call, answer: PlainReply): void {
    const isRaw = typeof answer.body === 'string' || answer.body instanceof Uint8Array
    const bytes = isRaw ? Buffer.from(answer.body) : Buffer.from(JSON.stringify(answer.body))
    reply.writeHead(answer.status ?? 200, {
      'content-type':
        answer.contentType ?? (isRaw ? 'text/plain; charset=utf-8' : 'application/json'),
      'content-length': bytes.length,
      'x-request-id': requestId,
      'request-id': requestId,
      ...answer.headers,
    })
    reply.end(message.method === 'HEAD' ? undefined : bytes)
  }

  #fail({ message, reply, requestId }: Call, error: OperationError, encode: ErrorEncoder): void {
    const status = httpStatusOf(error)
    this.#parts.metrics.operationFailed(error.code)
    // An upstream's failures are in its own log; nobody else means to fail with 500.
    if (status === 500 && error.origin !== 'upstream') {
      this.#parts.log.error('request failed', {
        code: error.code,
        error: error.cause ?? error,
        requestId,
      })
    }
    if (reply.headersSent) {
      // A stream that could still tell its client of the error has ended.
      if (!reply.writableEnded) reply.destroy()
      return
    }
    // Also for the metrics of a reply that nobody is there to read.
    reply.statusCode = status
    if (reply.destroyed) return
    const body = Buffer.from(encode(error, status, requestId))
    const retrySeconds = Math.ceil((error.retryAfterMs ?? 0) / 1_000)
    const headers: OutgoingHttpHeaders = {
      'content-type': 'application/json',
      'content-length': body.length,
      'x-request-id': requestId,
      'request-id': requestId,
      'x-hyperspace-reason': error.code,
      // SDKs retry by status alone; only what may go better the next time is worth their while.
      'x-should-retry': String(error.retryable),
    }
    if (retrySeconds > 0) headers['retry-after'] = String(retrySeconds)
    if (error.code === 'method_not_allowed') {
      const [path] = splitPath(message.url ?? '/')
      headers['allow'] = this.#parts.router.methodsAt(path).join(', ')
    }
    // The rest of a refused body is not worth reading.
    if (!message.complete) headers['connection'] = 'close'
    reply.writeHead(status, headers)
    reply.end(body)
  }

  #answerPreflight(call: Call): void {
    this.#parts.guard.checkOrigin(call.message.headers)
    this.#allowOrigin(call)
    call.reply.writeHead(204, {
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': call.message.headers['access-control-request-headers'] ?? '*',
      'access-control-max-age': '600',
    })
    call.reply.end()
  }

  #allowOrigin({ message, reply }: Call): void {
    const { origin } = message.headers
    if (origin === undefined) return
    reply.setHeader('access-control-allow-origin', origin)
    reply.setHeader('access-control-expose-headers', '*')
    reply.setHeader('vary', 'origin')
  }
}

function splitPath(url: string): readonly [string, string] {
  const mark = url.indexOf('?')
  return mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)]
}

function draining(): OperationError {
  return new OperationError('draining', 'This node is shutting down', {
    origin: 'self',
    retryable: true,
    retryAfterMs: 5_000,
  })
}
