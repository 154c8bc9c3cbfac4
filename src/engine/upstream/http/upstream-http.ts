import { type Dispatcher, Pool } from 'undici'
import {
  upstreamErrorBytesMax,
  upstreamReplyBytesMax,
  upstreamRequestsMax,
} from '../../../limits.ts'
import { assert } from '../../../std/assert.ts'
import type { Clock } from '../../../std/clock.ts'
import type { Json } from '../../../std/json.ts'
import { isAbort, linkSignal } from '../../../std/signal.ts'
import { parseUpstreamUrl, type UpstreamAddress } from './upstream-address.ts'
import {
  connectionError,
  isStaleConnection,
  parseJson,
  replyError,
  retryAfterMsOf,
  type UpstreamLabel,
  upstreamFailed,
  upstreamTimeout,
} from './upstream-errors.ts'

export interface UpstreamHttpOptions {
  readonly name: string
  readonly url: string
  readonly apiKey?: string
  readonly connectTimeoutMs: number
  /** Longest silence of the upstream, before its reply and within. */
  readonly idleTimeoutMs: number
}

export interface Call {
  readonly method: 'GET' | 'POST'
  /** `api`: below the OpenAI base; `root`: the server's own paths. */
  readonly base: 'api' | 'root'
  readonly path: string
  readonly body?: Json
  readonly signal: AbortSignal
  /** For the whole exchange, besides the idle time-out. */
  readonly timeoutMs?: number
}

/** A reply whose body is still to be read. `close` ends the exchange, read or not. */
export interface OpenReply {
  readonly status: number
  readonly contentType: string
  /**
   * @throws upstream_timeout, upstream_failed when cut off, or the reason of the caller's signal
   */
  readonly body: AsyncGenerator<Uint8Array>
  close(): void
}

/** HTTP to one upstream: a pool of connections, time-outs, and errors that say who failed. */
export class UpstreamHttp {
  readonly address: UpstreamAddress
  readonly label: UpstreamLabel
  readonly #clock: Clock
  readonly #options: UpstreamHttpOptions
  #pool: Pool | undefined

  constructor(clock: Clock, options: UpstreamHttpOptions) {
    this.#clock = clock
    this.#options = options
    this.address = parseUpstreamUrl(options.url)
    this.label = { name: options.name, url: this.address.display }
  }

  open(): void {
    this.#pool ??= new Pool(this.address.origin, {
      connections: upstreamRequestsMax,
      connect: { timeout: this.#options.connectTimeoutMs },
      // Our own idle timer runs on the injected clock; undici's are switched off.
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    })
  }

  /** When it returns, no connection is open. */
  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    await pool?.destroy()
  }

  /** Sends a call and returns when the reply's headers are here, whatever the status. */
  async send(call: Call): Promise<OpenReply> {
    call.signal.throwIfAborted()
    try {
      return await this.#sendOnce(call)
    } catch (error) {
      // A connection may be closed at the other end just as it is used again: that is nobody's
      // failure.
      if (!(error instanceof Error) || !isStaleConnection(error.cause)) throw error
      call.signal.throwIfAborted()
      return await this.#sendOnce(call)
    }
  }

  /** Sends a call; a reply other than 2xx becomes its error, with status and body kept. */
  async sendOk(call: Call): Promise<OpenReply> {
    const reply = await this.send(call)
    if (reply.status >= 200 && reply.status < 300) return reply
    throw await this.errorOf(reply)
  }

  /** Sends a call and reads its JSON. @throws upstream_failed where it is none */
  async json(call: Call): Promise<unknown> {
    const reply = await this.sendOk(call)
    const text = await this.textOf(reply, upstreamReplyBytesMax)
    const value = parseJson(text)
    if (value === undefined)
      throw upstreamFailed(this.label, 'answered with something else than JSON')
    return value
  }

  /** Reads and closes. @throws upstream_failed beyond `bytesMax` */
  async textOf(reply: OpenReply, bytesMax: number): Promise<string> {
    const { text, isCut } = await readText(reply, bytesMax)
    if (isCut) throw upstreamFailed(this.label, `answered with more than ${bytesMax} bytes`)
    return text
  }

  async errorOf(reply: OpenReply & { readonly retryAfterMs?: number }): Promise<Error> {
    const { text } = await readText(reply, upstreamErrorBytesMax)
    const said = { status: reply.status, contentType: reply.contentType, body: text }
    return replyError(this.label, said, reply.retryAfterMs)
  }

  async #sendOnce(call: Call): Promise<OpenReply> {
    const idle = new IdleTimer(this.#clock, this.#options.idleTimeoutMs, () =>
      upstreamTimeout(this.label, this.#options.idleTimeoutMs),
    )
    const linked = linkSignal(this.#clock, [call.signal, idle.signal], call.timeoutMs)
    const close = (): void => {
      idle.stop()
      linked[Symbol.dispose]()
    }
    idle.start()
    try {
      const data = await this.#dispatch(call, linked.signal)
      idle.stop()
      const meaningOf = (error: unknown): unknown =>
        this.#meaningOf(error, call, linked.signal, true)
      return this.#openReply(data, idle, { close, meaningOf })
    } catch (error) {
      close()
      throw this.#meaningOf(error, call, linked.signal, false)
    }
  }

  #dispatch(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    assert(this.#pool !== undefined, 'The upstream is started before it is used')
    const { apiPath, rootPath, basicAuth } = this.address
    const { apiKey } = this.#options
    const authorization =
      apiKey === undefined ? basicAuth && `Basic ${basicAuth}` : `Bearer ${apiKey}`
    return this.#pool.request({
      method: call.method,
      path: `${call.base === 'api' ? apiPath : rootPath}${call.path}`,
      headers: {
        accept: 'text/event-stream, application/json',
        'user-agent': 'hyperspace',
        ...(authorization === undefined ? {} : { authorization }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal,
    })
  }

  #openReply(
    data: Dispatcher.ResponseData,
    idle: IdleTimer,
    exchange: { close: () => void; meaningOf: (error: unknown) => unknown },
  ): OpenReply & { readonly retryAfterMs?: number } {
    const chunks: AsyncIterator<Uint8Array> = data.body[Symbol.asyncIterator]()
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      // The timer runs only while we wait for the upstream, not while the client is slow to read.
      idle.start()
      try {
        return await chunks.next()
      } catch (error) {
        throw exchange.meaningOf(error)
      } finally {
        idle.stop()
      }
    }
    const retryAfterMs = retryAfterMsOf(data.headers, this.#clock.now())
    const contentType = data.headers['content-type']
    return {
      status: data.statusCode,
      contentType: typeof contentType === 'string' ? contentType : '',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      body: bodyOf(next),
      close: () => {
        exchange.close()
        // Destroying a body that was read to its end does nothing; else it closes the connection at
        // once.
        data.body.on('error', () => undefined).destroy()
      },
    }
  }

  /** An abort is its signal's reason: the client's, the idle timer's or the call's time-out. */
  #meaningOf(error: unknown, call: Call, signal: AbortSignal, hasReplied: boolean): unknown {
    if (!signal.aborted) return connectionError(this.label, error, hasReplied)
    const isOurDeadline = call.timeoutMs !== undefined && !call.signal.aborted
    if (!isOurDeadline || !isAbort(signal.reason)) return signal.reason
    return upstreamTimeout(this.label, call.timeoutMs ?? 0)
  }
}

async function* bodyOf(
  next: () => Promise<IteratorResult<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { done, value } = await next()
    if (done) return
    yield value
  }
}

async function readText(
  reply: OpenReply,
  bytesMax: number,
): Promise<{ text: string; isCut: boolean }> {
  const chunks: Uint8Array[] = []
  let bytesCount = 0
  try {
    for await (const chunk of reply.body) {
      chunks.push(chunk)
      bytesCount += chunk.length
      if (bytesCount > bytesMax) break
    }
  } finally {
    reply.close()
  }
  const bytes = Buffer.concat(chunks).subarray(0, bytesMax)
  return { text: bytes.toString('utf8'), isCut: bytesCount > bytesMax }
}

/** Fires when nothing happened for a while between `start` and `stop`. */
class IdleTimer {
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #reason: () => Error
  readonly #controller = new AbortController()
  #cancel: (() => void) | undefined

  constructor(clock: Clock, idleMs: number, reason: () => Error) {
    this.#clock = clock
    this.#idleMs = idleMs
    this.#reason = reason
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  start(): void {
    this.stop()
    this.#cancel = this.#clock.after(this.#idleMs, () => this.#controller.abort(this.#reason()))
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
