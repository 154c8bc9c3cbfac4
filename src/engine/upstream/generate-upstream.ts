import { OperationError } from '../../errors.ts'
import type { GenerationEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { answerBytesMax } from '../../limits.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { errorObjectOf, parseJson, replyError, upstreamFailed } from './http/upstream-errors.ts'
import type { OpenReply, UpstreamHttp } from './http/upstream-http.ts'
import type { Dialect } from './wire/dialect.ts'
import { encodeRequest, type SlotChoice } from './wire/encode-request.ts'
import { type ServerSentEvent, serverSentEvents } from './wire/server-sent-events.ts'
import { StreamDecoder } from './wire/stream-decoder.ts'

/** What is learnt about an upstream while it is used. */
export interface UpstreamHabits {
  /** It refused `stream_options` once, so it is not sent again. */
  refusesStreamOptions: boolean
}

export interface GenerateUpstreamComponents {
  readonly http: UpstreamHttp
  readonly habits: UpstreamHabits
  readonly dialect: Dialect
  /** Called when an answer came without usage, which is then an estimate. */
  readonly onUsageMissing: () => void
}

export interface GenerateUpstreamOptions extends AbortOptions {
  readonly model: string
  /** Of a llama-server. @default whichever it chooses */
  readonly slot?: SlotChoice | undefined
}

/**
 * Asks the upstream and yields its answer as it comes. Leaving the iteration closes the exchange at
 * once.
 */
export async function* generateUpstream(
  components: GenerateUpstreamComponents,
  request: CompletionRequest,
  options: GenerateUpstreamOptions,
): AsyncGenerator<GenerationEvent> {
  const { http } = components
  const reply = await openAnswer(components, request, options)
  const decoder = new StreamDecoder({ request, fail: what => upstreamFailed(http.label, what) })
  try {
    if (/event-stream/i.test(reply.contentType)) yield* streamedEvents(http, reply, decoder)
    else yield* wholeEvents(http, reply, decoder)
    if (!decoder.hasUsage) components.onUsageMissing()
    yield* decoder.end()
  } finally {
    reply.close()
  }
}

async function openAnswer(
  components: GenerateUpstreamComponents,
  request: CompletionRequest,
  options: GenerateUpstreamOptions,
): Promise<OpenReply> {
  const { http, habits, dialect } = components
  const send = (withStreamOptions: boolean): Promise<OpenReply> => {
    const { path, body } = encodeRequest(request, {
      model: options.model,
      slot: options.slot,
      dialect,
      withStreamOptions,
    })
    return http.sendOk({ method: 'POST', base: 'api', path, body, signal: options.signal })
  }
  if (habits.refusesStreamOptions) return await send(false)
  try {
    return await send(true)
  } catch (error) {
    if (!refusesStreamOptions(error)) throw error
    const reply = await send(false)
    habits.refusesStreamOptions = true
    return reply
  }
}

function refusesStreamOptions(error: unknown): boolean {
  if (!(error instanceof OperationError) || error.upstream === undefined) return false
  const { status, body } = error.upstream
  return (status === 400 || status === 422) && /stream_options|include_usage/.test(body)
}

async function* streamedEvents(
  http: UpstreamHttp,
  reply: OpenReply,
  decoder: StreamDecoder,
): AsyncGenerator<GenerationEvent> {
  for await (const event of serverSentEvents(reply.body, http.label)) {
    if (event.data.trim() === '[DONE]') return
    yield* decoder.push(chunkOf(event, http))
  }
  // Without the mark of the end, only finish reasons tell a whole answer from one that was cut off.
  if (!decoder.isFinished)
    throw upstreamFailed(http.label, 'cut off its answer', { retryable: true })
}

/**
 * A server that does not stream answers with the whole completion: the decoder reads it as one
 * chunk.
 */
async function* wholeEvents(
  http: UpstreamHttp,
  reply: OpenReply,
  decoder: StreamDecoder,
): AsyncGenerator<GenerationEvent> {
  const data = await http.textOf(reply, answerBytesMax)
  yield* decoder.push(chunkOf({ event: undefined, data }, http))
}

/** @throws the upstream's own error, when that is what the event says */
function chunkOf(event: ServerSentEvent, http: UpstreamHttp): JsonObject {
  const chunk = parseJson(event.data)
  const error = errorObjectOf(chunk)
  if (error !== undefined || event.event === 'error') {
    const said = { status: statusOf(error), contentType: 'application/json', body: event.data }
    throw replyError(http.label, said, undefined)
  }
  if (isJsonObject(chunk)) return chunk
  throw upstreamFailed(http.label, 'sent something else than JSON in its answer')
}

/** An error within a stream has no status line; some servers put the status into the error. */
function statusOf(error: JsonObject | undefined): number {
  const code = error?.['code'] ?? error?.['status']
  const isStatus = typeof code === 'number' && Number.isInteger(code) && code >= 400 && code < 600
  return isStatus ? code : 502
}
