import type { ServerResponse } from 'node:http'
import type { GenerationEvent, Usage } from '../../interface/generation.ts'
import type { Clock } from '../../std/clock.ts'
import { asOperationError } from '../http-status.ts'
import type { StreamEncoder } from '../wire-format.ts'

/** Silence after which a comment is sent: common proxies cut at 60 s, browsers and SDKs later. */
const keepAliveMs = 15_000

export interface LiveStream {
  readonly events: AsyncIterator<GenerationEvent, undefined, void>
  /** The first event, asked for already. */
  readonly first: Promise<IteratorResult<GenerationEvent, undefined>>
  readonly encoder: StreamEncoder
  readonly requestId: string
}

/**
 * Writes events as they come until the end, an error or the client's departure, and tells what was
 * used. An error is told to the client, which has the head already, and thrown for the log.
 */
export async function sendStream(
  reply: ServerResponse,
  { events, first, encoder, requestId }: LiveStream,
  clock: Clock,
): Promise<{ readonly usage: Usage | undefined }> {
  let usage: Usage | undefined
  const pulse = keepAlive(reply, encoder, clock)
  try {
    for (let next = await first; !next.done; next = await events.next()) {
      if (reply.destroyed) break
      if (next.value.type === 'usage') usage = next.value.usage
      const text = encoder.encode(next.value)
      if (text === '') continue
      pulse.rest()
      if (!reply.write(text)) await drained(reply)
    }
    if (!reply.destroyed) reply.end(encoder.end())
  } catch (error) {
    if (!reply.destroyed) reply.end(encoder.fail(asOperationError(error), requestId))
    throw error
  } finally {
    pulse.stop()
    await events.return?.()
  }
  return { usage }
}

function keepAlive(
  reply: ServerResponse,
  encoder: StreamEncoder,
  clock: Clock,
): { rest(): void; stop(): void } {
  let cancel = (): void => undefined
  const arm = (): void => {
    cancel = clock.after(keepAliveMs, () => {
      const text = encoder.keepAlive()
      if (text !== '' && !reply.destroyed && !reply.writableNeedDrain) reply.write(text)
      arm()
    })
  }
  arm()
  return {
    rest: () => {
      cancel()
      arm()
    },
    stop: () => cancel(),
  }
}

/** Resolves when the client has read enough, or is gone. */
function drained(reply: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      reply.off('drain', done)
      reply.off('close', done)
      resolve()
    }
    reply.on('drain', done)
    reply.on('close', done)
    if (reply.destroyed) done()
  })
}
