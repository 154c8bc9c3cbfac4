import { OperationError } from '../../../errors.ts'
import { peerAnswerTimeoutMs, sealedRecordBytesMax, streamPieceBytes } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { linkSignal } from '../../../std/signal.ts'

/** Who cuts finer than the protocol says would fill memory with the pieces' own weight. */
const piecesMax = Math.ceil(sealedRecordBytesMax / streamPieceBytes) + 1

export interface TakeOptions {
  readonly clock: Clock
  /** Until the first piece; the others may each take `peerAnswerTimeoutMs`. */
  readonly firstMs: number
  readonly signal: AbortSignal
}

/**
 * A record that a peer sends in pieces; undefined when it sends none.
 * @throws TimeoutError when it stalls; peer_message_invalid when it sends too much; what the stream
 *   throws
 */
export async function takeStream(
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  { clock, firstMs, signal }: TakeOptions,
): Promise<Uint8Array | undefined> {
  const stalled = new AbortController()
  const linked = linkSignal(clock, [signal, stalled.signal])
  const waitAtMost = (ms: number): (() => void) =>
    clock.after(ms, () => stalled.abort(new DOMException('The peer stalls', 'TimeoutError')))
  let cancelWait = waitAtMost(firstMs)
  try {
    const pieces: Uint8Array[] = []
    let bytes = 0
    for await (const piece of open(linked.signal)) {
      cancelWait()
      bytes += piece.length
      if (bytes > sealedRecordBytesMax || pieces.length >= piecesMax) throw tooMuch()
      pieces.push(piece)
      cancelWait = waitAtMost(peerAnswerTimeoutMs)
    }
    return pieces.length === 0 ? undefined : Buffer.concat(pieces)
  } finally {
    cancelWait()
    linked[Symbol.dispose]()
  }
}

function tooMuch(): OperationError {
  const message = 'The peer sent more than a record may hold'
  return new OperationError('peer_message_invalid', message, { origin: 'peer' })
}
