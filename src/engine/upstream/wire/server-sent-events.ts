import { createParser, type EventSourceMessage, type ParseError } from 'eventsource-parser'
import { upstreamEventBytesMax } from '../../../limits.ts'
import { type UpstreamLabel, upstreamFailed } from '../http/upstream-errors.ts'

export interface ServerSentEvent {
  readonly event: string | undefined
  readonly data: string
}

/**
 * The events of an SSE body, each as soon as it is complete. An event without its closing blank
 * line at the end of the body counts: some servers forget it.
 *
 * @throws upstream_failed when one event is larger than `upstreamEventBytesMax`
 */
export async function* serverSentEvents(
  body: AsyncIterable<Uint8Array>,
  label: UpstreamLabel,
): AsyncGenerator<ServerSentEvent> {
  const ready: EventSourceMessage[] = []
  const overflow: ParseError[] = []
  const parser = createParser({
    maxBufferSize: upstreamEventBytesMax,
    onEvent: event => ready.push(event),
    // Fields that the standard does not know are skipped, as it demands.
    onError: error => {
      if (error.type === 'max-buffer-size-exceeded') overflow.push(error)
    },
  })
  const feed = (text: string): readonly ServerSentEvent[] => {
    parser.feed(text)
    const [cause] = overflow
    if (cause !== undefined) {
      const what = `sent an event of more than ${upstreamEventBytesMax} characters`
      throw upstreamFailed(label, what, { cause })
    }
    return ready.splice(0).map(({ event, data }) => ({ event, data }))
  }
  const decoder = new TextDecoder()
  for await (const chunk of body) yield* feed(decoder.decode(chunk, { stream: true }))
  yield* feed(`${decoder.decode()}\n\n`)
}
