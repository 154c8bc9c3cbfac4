import type { IncomingMessage, ServerResponse } from 'node:http'
import { diagnose } from '../cache/cache-diagnosis.ts'
import { type ServeComponents, type ServeOptions, serveRequest } from '../cache/serve-request.ts'
import type { ResponseKey } from '../key/response-key.ts'
import type { Scope } from '../key/scope.ts'
import type { Random } from '../std/random.ts'
import type { CompletionEndpoint } from './endpoint.ts'
import { parseJsonBody } from './read-body.ts'
import { type ReadyRequest, ReadyRequests, replyVariantOf } from './reply/ready-requests.ts'
import { type Hit, type Live, reasonOf } from './reply/reply-head.ts'
import { isPlainHead, parseHead } from './reply/request-head.ts'
import { encodeHit, sendHit } from './reply/send-hit.ts'
import { sendLive } from './reply/send-live.ts'
import type { ParsedRequest, ReplyContext, WireFormat } from './wire-format.ts'

export interface AnswerComponents extends ServeComponents {
  readonly random: Random
}

/** One request of a completion endpoint, read but not yet understood. */
export interface Exchange {
  readonly message: IncomingMessage
  readonly reply: ServerResponse
  readonly path: string
  readonly body: Buffer
  readonly scope: Scope
  readonly requestId: string
}

/** Answers completion requests: from a remembered body at once, else the whole way. */
export class Answerer {
  readonly #parts: AnswerComponents
  readonly #options: ServeOptions
  readonly #ready = new ReadyRequests()

  constructor(components: AnswerComponents, options: ServeOptions) {
    this.#parts = components
    this.#options = options
  }

  /** Writes the whole reply, or throws before its first byte. */
  async answer(endpoint: CompletionEndpoint, exchange: Exchange): Promise<void> {
    const { message, path, scope, body } = exchange
    const digest = isPlainHead(message.headers) ? this.#ready.digest(path, scope, body) : undefined
    const ready = digest === undefined ? undefined : this.#ready.get(digest)
    if (ready !== undefined && this.#answerReady(ready, exchange)) return

    const json = parseJsonBody(body)
    const other = endpoint.answerOther?.(json)
    if (other !== undefined) {
      exchange.reply.writeHead(200, { 'content-type': 'application/json' })
      exchange.reply.end(other)
      return
    }
    const parsed = endpoint.format.parse(json)
    const ask = { request: parsed.request, scope, ...parseHead(message.headers) }
    const served = serveRequest(this.#parts, ask, this.#options)
    if (served.outcome === 'hit') this.#answerHit(endpoint.format, exchange, parsed, served)
    else await this.#answerLive(endpoint.format, exchange, parsed, served)
    if (digest !== undefined && served.outcome !== 'bypass') {
      this.#remember(digest, endpoint.format, parsed, served.key)
    }
  }

  /**
   * The hot path: a body seen before whose reply is ready. False when it has to go the whole way.
   */
  #answerReady(request: ReadyRequest, { reply, requestId }: Exchange): boolean {
    const { cache, clock, metrics, models } = this.#parts
    const startMs = clock.monotonicMs()
    if (models.resolve(request.modelName).model.id !== request.modelId) return false
    const lookup = cache.find(request.key, { maxTokens: request.maxTokens })
    if (lookup.outcome === 'miss') return false
    const { tier: source, key, entry } = lookup
    const ready = entry.replies.get(request.replyVariant)
    if (ready === undefined) return false
    const ms = clock.monotonicMs() - startMs
    metrics.lookupFinished('hit', ms / 1_000)
    const hit = { outcome: 'hit', source, key, entry, phases: [{ name: 'lookup', ms }] } as const
    sendHit(this.#parts, reply, hit, { ready, requestId, warnings: [] })
    return true
  }

  #answerHit(format: WireFormat, exchange: Exchange, parsed: ParsedRequest, hit: Hit): void {
    const { key, entry } = hit
    const { created } = entry.completion
    const context = { id: idOf(key), created, parsed, isHit: true }
    const ready = this.#parts.cache.reply(key, entry, replyVariantOf(format.api, parsed), () =>
      encodeHit(format, context, hit),
    )
    const { reply, requestId } = exchange
    sendHit(this.#parts, reply, hit, { ready, requestId, warnings: parsed.warnings })
  }

  async #answerLive(
    format: WireFormat,
    exchange: Exchange,
    parsed: ParsedRequest,
    live: Live,
  ): Promise<void> {
    const { reply, requestId } = exchange
    // A bypassing request may be drawn differently each time: its answer gets an id of its own.
    const id = live.outcome === 'bypass' ? this.#ownId() : idOf(live.key)
    const { follower } = live
    const context: ReplyContext = {
      id,
      created: follower.created,
      parsed,
      // A peer may deliver after the head was sent.
      get isHit() {
        return follower.origin() !== undefined
      },
      diagnose: cachedTokens =>
        diagnose({ outcome: live.outcome, reason: reasonOf(live) }, cachedTokens),
    }
    const origin = await sendLive(this.#parts, reply, live, { format, context, requestId })
    if (origin === undefined) return
    const { phases } = live
    this.#answerHit(format, exchange, parsed, { outcome: 'hit', source: 'peer', ...origin, phases })
  }

  #remember(digest: string, format: WireFormat, parsed: ParsedRequest, key: ResponseKey): void {
    // Warnings are told in a header that the ready-made reply does not carry.
    if (parsed.warnings.length > 0) return
    const { model, maxTokens } = parsed.request
    this.#ready.set(digest, {
      key,
      modelId: this.#parts.models.resolve(model).model.id,
      modelName: model,
      maxTokens,
      replyVariant: replyVariantOf(format.api, parsed),
    })
  }

  #ownId(): string {
    return this.#parts.random.uuid().replaceAll('-', '').slice(0, 24)
  }
}

function idOf(key: ResponseKey): string {
  return key.slice(0, 24)
}
