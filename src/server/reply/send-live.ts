import type { ServerResponse } from 'node:http'
import { CompletionCollector } from '../../cache/collect.ts'
import type { FlightOrigin } from '../../cache/flights.ts'
import type { ServeComponents } from '../../cache/serve-request.ts'
import type { GenerationEvent, Usage } from '../../interface/generation.ts'
import { type SparedTokens, sparedNone } from '../../interface/metrics.ts'
import { settlesWithin } from '../../std/signal.ts'
import type { ReplyContext, WireFormat } from '../wire-format.ts'
import { commonHead, type Live, liveHead, sourceOf } from './reply-head.ts'
import { sendStream } from './send-stream.ts'

export interface LiveReply {
  readonly format: WireFormat
  readonly context: ReplyContext
  readonly requestId: string
}

type FirstEvent = Promise<IteratorResult<GenerationEvent, undefined>>

/** How long the first token may take before the head of a stream is sent without it. */
const headDelayMs = 10_000

/**
 * Writes an answer that is being made, as it comes or as one body when it is complete. When a peer
 * had it, nothing is written and the entry is returned: it is a hit.
 */
export async function sendLive(
  parts: ServeComponents,
  reply: ServerResponse,
  live: Live,
  how: LiveReply,
): Promise<FlightOrigin | undefined> {
  reply.once('close', live.follower.leave)
  const first = live.follower.events.next()
  // A stream sends its head when the first token takes long; an error before is told by the status.
  const isStream = how.context.parsed.stream
  if (!isStream || (await settlesWithin(parts.clock, first, headDelayMs))) await first
  const origin = live.follower.origin()
  if (origin !== undefined) {
    live.follower.leave()
    return origin
  }
  const send = isStream ? sendEvents : sendBody
  const usage = await send(parts, reply, live, { ...how, first })
  if (usage !== undefined) countServed(parts, live, usage)
  return undefined
}

function countServed(parts: ServeComponents, live: Live, usage: Usage): void {
  const { promptTokens: input, completionTokens: output, cachedTokens } = usage
  // A peer that delivers after the head was sent is seen here only.
  const isFromPeer = live.follower.origin() !== undefined
  // Whoever joined another's generation saved all of it, unless that other went away.
  const isComputed = !isFromPeer && live.follower.claim()
  const isSaved = live.outcome === 'collapsed' || isFromPeer
  const saved = isSaved ? input + output : cachedTokens
  const spared = isComputed ? { spared: sparedOf(live, usage) } : {}
  const source = isFromPeer ? 'peer' : sourceOf(live)
  parts.metrics.answerServed(source, { input, output, saved, ...spared }, 0)
}

/** What an upstream says it had cached is resident there. */
function sparedOf(live: Live, { cachedTokens }: Usage): SparedTokens {
  return live.follower.prefix()?.spared ?? { ...sparedNone, resident: cachedTokens }
}

async function sendEvents(
  { clock }: ServeComponents,
  reply: ServerResponse,
  live: Live,
  { format, context, requestId, first }: LiveReply & { readonly first: FirstEvent },
): Promise<Usage | undefined> {
  const { events } = live.follower
  const start = (await settlesWithin(clock, first, 0)) ? await first : undefined
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
  { format, context, requestId, first }: LiveReply & { readonly first: FirstEvent },
): Promise<Usage> {
  const { events } = live.follower
  const collector = new CompletionCollector()
  let cachedTokens = 0
  for (let next = await first; !next.done; next = await events.next()) {
    collector.add(next.value)
    cachedTokens = Math.max(cachedTokens, cachedTokensOf(next.value))
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
