import { OperationError } from '../../errors.ts'
import { isAbort } from '../../std/signal.ts'
import type { PeerEvent } from '../../trust/reputation.ts'

/** What a failure says of the peer it happened with; undefined for what no peer can cause. */
export function peerEventOf(error: unknown): PeerEvent | undefined {
  if (isAbort(error)) return 'timeout'
  if (!(error instanceof OperationError)) return undefined
  switch (error.code) {
    case 'peer_message_invalid':
      return 'invalid-message'
    case 'block_invalid':
      return 'bad-record'
    case 'manifest_invalid':
      return 'bad-receipt'
    case 'peer_overloaded':
      return 'refused'
    case 'peer_timeout':
      return 'timeout'
    case 'peer_failed':
    case 'peer_unreachable':
      return 'failed'
    default:
      return undefined
  }
}
