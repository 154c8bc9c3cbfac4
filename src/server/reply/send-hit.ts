import type { ServerResponse } from 'node:http'
import { eventsOf } from '../../cache/events-of.ts'
import type { ReadyReply } from '../../cache/response-cache.ts'
import type { ServeComponents } from '../../cache/serve-request.ts'
import type { Completion } from '../../interface/generation.ts'
import type { ReplyContext, WireFormat } from '../wire-format.ts'
import { commonHead, entryHead, type Hit, hitHead, savedTokensOf } from './reply-head.ts'

export interface HitReply {
  readonly ready: ReadyReply
  readonly requestId: string
  readonly warnings: readonly string[]
}

/** Encodes a stored answer for one client API, as a stream or a body, in one piece. */
export function encodeHit(format: WireFormat, context: ReplyContext, hit: Hit): ReadyReply {
  const { completion } = hit.entry
  const { text, contentType } = context.parsed.stream
    ? replay(format, context, completion)
    : { text: format.encodeReply(completion, context), contentType: 'application/json' }
  const body = Buffer.from(text).toString('latin1')
  const length = String(body.length)
  const fixed = ['content-type', contentType, 'content-length', length]
  return { body, head: [...fixed, ...entryHead(hit.key, hit.entry)] }
}

/** Writes the whole reply at once and counts it. */
export function sendHit(
  { clock, metrics }: ServeComponents,
  reply: ServerResponse,
  hit: Hit,
  { ready, requestId, warnings }: HitReply,
): void {
  const { source, entry, phases } = hit
  reply.writeHead(200, [
    ...ready.head,
    ...hitHead(source, entry, clock.now()),
    ...commonHead(requestId, phases, warnings),
  ])
  reply.end(ready.body, 'latin1')
  const { completion, costSeconds } = entry
  const { promptTokens: input, completionTokens: output } = completion.usage
  metrics.answerServed(source, { input, output, saved: savedTokensOf(completion) }, costSeconds)
}

function replay(
  format: WireFormat,
  context: ReplyContext,
  completion: Completion,
): { readonly text: string; readonly contentType: string } {
  const encoder = format.openStream(context)
  let text = ''
  for (const event of eventsOf(completion)) text += encoder.encode(event)
  return { text: text + encoder.end(), contentType: encoder.contentType }
}
