import type { ServerResponse } from 'node:http'
import { CompletionCollector } from '../../cache/collect.ts'
import type { ServeComponents } from '../../cache/serve-request.ts'
import type { GenerationEvent, Usage } from '../../interface/generation.ts'
import { settlesWithin } from '../../std/signal.ts'
import type { ReplyContext, WireFormat } from '../wire-format.ts'
import { commonHead, type Live, liveHead } from './reply-head.ts'
import { sendStream } from './send-stream.ts'

export interface LiveReply {
  readonly format: WireFormat
  readonly context: ReplyContext
  readonly requestId: string
}

/** How long the first token may take before the head of a stream is sent without it. */
const headDelayMs = 10_000

/** Writes an answer that is being made, as it comes or as one body when it is complete. */
export async function sendLive(
  parts: ServeComponents,
  reply: ServerResponse,
  live: Live,
  how: LiveReply,
): Promise<void> {
  reply.once('close', live.follower.leave)
  const send = how.context.parsed.stream ? sendEvents : sendBody
  const usage = await send(parts, reply, live, how)
  if (usage === undefined) return
  const { promptTokens: input, completionTokens: output, cachedTokens } = usage
  // Whoever joined another's generation saved all of it.
  const saved = live.outcome === 'collapsed' ? input + output : cachedTokens
  parts.metrics.answerServed(live.source, { input, output, saved }, 0)
}

async function sendEvents(
  { clock }: ServeComponents,
  reply: ServerResponse,
  live: Live,
  { format, context, requestId }: LiveReply,
): Promise<Usage | undefined> {
  const { events } = live.follower
  const first = events.next()
  const isEarly = await settlesWithin(clock, first, headDelayMs)
  // An error before the first byte is still told by the status.
  const start = isEarly ? await first : undefined
  const encoder = format.openStream(context)
  reply.writeHead(200, [
    'content-type',
    encoder.contentType,
    'cache-control',
    'no-cache',
    'x-accel-buffering',
    'no',
    ...liveHead(live, { cachedTokens: cachedTokensOf(start?.value) }),
    ...commonHead(requestId, live.phases, context.parsed.warnings),
  ])
  const { usage } = await sendStream(reply, { events, first, encoder, requestId }, clock)
  return usage
}

async function sendBody(
  _parts: ServeComponents,
  reply: ServerResponse,
  live: Live,
  { format, context, requestId }: LiveReply,
): Promise<Usage> {
  const collector = new CompletionCollector()
  let cachedTokens = 0
  for await (const event of live.follower.events) {
    collector.add(event)
    cachedTokens = Math.max(cachedTokens, cachedTokensOf(event))
  }
  const completion = collector.result(live.model.id, context.created)
  if (completion === undefined) throw new TypeError('A flight landed without an answer')
  const bytes = Buffer.from(format.encodeReply(completion, context))
  reply.writeHead(200, [
    'content-type',
    'application/json',
    'content-length',
    String(bytes.length),
    ...liveHead(live, { cachedTokens }),
    ...commonHead(requestId, live.phases, context.parsed.warnings),
  ])
  reply.end(bytes)
  return completion.usage
}

function cachedTokensOf(event: GenerationEvent | undefined): number {
  if (event?.type === 'usage') return event.usage.cachedTokens
  return event?.type === 'start' ? (event.cachedTokens ?? 0) : 0
}
