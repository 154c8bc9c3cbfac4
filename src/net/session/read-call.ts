import type { ProtocolName } from '../../interface/network.ts'
import { messageBytesMax, streamAheadMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { FrameDecoder } from '../../wire/frame.ts'
import { encodeRequestBody } from '../../wire/request-body.ts'
import { peerError } from '../peer-error.ts'
import type { ByteChannel } from './byte-channel.ts'
import { CallInbox } from './call-inbox.ts'
import { FrameWriter } from './frame-writer.ts'
import type { PeerMeasures } from './measures.ts'

export interface ReadCallOptions {
  readonly clock: Clock
  readonly measures: PeerMeasures
  readonly signal: AbortSignal
}

/**
 * The asking side of a stream call, which has its channel to itself: yields the peer's messages.
 * The peer may send `streamAheadMax` of them unasked and one more for each that is taken here, so
 * that back-pressure does not depend on the transport's, which does not work.
 */
export async function* readCall(
  channel: ByteChannel,
  call: { readonly protocol: ProtocolName; readonly body: Uint8Array },
  { clock, measures, signal }: ReadCallOptions,
): AsyncGenerator<Uint8Array> {
  const writer = new FrameWriter(channel)
  const inbox = new CallInbox(clock)
  const decoder = new FrameDecoder(messageBytesMax)
  const onAbort = (): void => inbox.abort(signal.reason)
  signal.addEventListener('abort', onAbort)
  channel.listen({
    onBytes: bytes => {
      try {
        for (const frame of decoder.push(bytes)) inbox.receive(frame)
      } catch (error) {
        inbox.abort(error)
      }
    },
    onClose: () => inbox.end(peerError('peer_unreachable')),
  })
  let isComplete = false
  try {
    signal.throwIfAborted()
    const body = encodeRequestBody(call.protocol, call.body)
    writer.write({ type: 'open', id: streamAheadMax, body })
    for (;;) {
      const message = await inbox.next()
      if (message === undefined) break
      if (channel.isOpen) writer.write({ type: 'credit', id: 1, body: new Uint8Array(0) })
      yield message
    }
    isComplete = true
  } finally {
    signal.removeEventListener('abort', onAbort)
    measures.transferMeasured(inbox.bulkBytes, inbox.waitedMs)
    // The reset of an unfinished call is what ends the peer's handler.
    if (!isComplete) channel.abort(new Error('The reader went away'))
    else await channel.close()
  }
}
