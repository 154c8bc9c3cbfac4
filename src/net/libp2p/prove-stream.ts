import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { membershipTimeoutMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import type { MembershipProof } from '../membership.ts'
import { peerError } from '../peer-error.ts'

/**
 * Carries a proof of membership over a stream, within a deadline. When it resolves, both sides are
 * proved, and whatever the other side sent after its proof is back in the stream.
 * @throws swarm_refused, peer_timeout, peer_unreachable (closed before a word was said)
 */
export async function proveMembership(
  stream: MessageStream,
  proof: MembershipProof,
  { clock }: { readonly clock: Clock },
): Promise<void> {
  let hasHeard = false
  const outcome = Promise.withResolvers<void>()
  // Where the first word cannot be sent nobody comes to wait for it.
  outcome.promise.catch(() => undefined)
  const onMessage = ({ data }: StreamMessageEvent): void => {
    const step = proof.receive(data.subarray())
    hasHeard = true
    if (step.type === 'refused') outcome.reject(peerError('swarm_refused', step.reason))
    if (step.type !== 'wait') stream.removeEventListener('message', onMessage)
    try {
      if (step.type !== 'refused') send(stream, step.send)
      if (step.type !== 'proven') return
      // Only now that nobody listens here any more: it would come back to this function.
      if (step.rest.length > 0) stream.unshift(step.rest)
      outcome.resolve()
    } catch (error) {
      outcome.reject(peerError('peer_unreachable', error))
    }
  }
  // Who hangs up on our proof does not share our secret; who never spoke may just be busy.
  const onClose = (): void =>
    outcome.reject(peerError(hasHeard ? 'swarm_refused' : 'peer_unreachable'))
  const cancelTimer = clock.after(membershipTimeoutMs, () =>
    outcome.reject(peerError('peer_timeout')),
  )
  stream.addEventListener('message', onMessage)
  stream.addEventListener('close', onClose)
  try {
    send(stream, proof.begin())
    await outcome.promise
  } catch (error) {
    stream.abort(error instanceof Error ? error : peerError('peer_unreachable'))
    throw error
  } finally {
    cancelTimer()
    stream.removeEventListener('message', onMessage)
    stream.removeEventListener('close', onClose)
  }
}

function send(stream: MessageStream, bytes: Uint8Array): void {
  if (bytes.length > 0 && stream.status === 'open') stream.send(bytes)
}
