import type { Log } from '../../../interface/log.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import { encodeShardAsk, type HoldResult } from '../../../wire/block-messages.ts'
import { peerEventOf } from '../peer-event.ts'
import { shardProtocol } from '../protocols.ts'
import type { Stripe } from '../stripe.ts'
import { type TakenShard, takeShard } from '../take-shard.ts'

export interface ShardPullerComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly clock: Clock
  readonly log: Log
}

/**
 * Pulls a shard from the peer that wants it held, or tells why it is not held.
 * @throws the signal's reason
 */
export async function pullShard(
  { network, clock, reputation, log }: ShardPullerComponents,
  stripe: Stripe,
  index: number,
  { from, signal }: AbortOptions & { readonly from: PeerId },
): Promise<TakenShard | HoldResult> {
  const body = encodeShardAsk({ stripe: stripe.id, index })
  try {
    const shard = await takeShard(
      opened => network.openBytes(from, shardProtocol, body, { signal: opened, isTransient: true }),
      { manifest: stripe.manifest, index },
      { clock, signal },
    )
    if (shard !== undefined) return shard
    reputation.note(from, 'refused')
    return 'busy'
  } catch (error) {
    if (signal.aborted) throw error
    const event = peerEventOf(error)
    reputation.note(from, event ?? 'failed')
    if (event === undefined) log.warn('shard not pulled', { peer: from, error })
    else log.debug('shard not pulled', { peer: from, event, error })
    return event === 'bad-record' || event === 'invalid-message' ? 'invalid' : 'busy'
  }
}
