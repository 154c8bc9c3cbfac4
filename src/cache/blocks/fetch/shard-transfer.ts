import type { Log } from '../../../interface/log.ts'
import type { BlockMetrics, ShardResult } from '../../../interface/metrics.ts'
import type { Network, PeerId } from '../../../interface/network.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { PeerEvent, Reputation } from '../../../trust/reputation.ts'
import { encodeShardAsk } from '../../../wire/block-messages.ts'
import type { HeldShards } from '../hold/held-shards.ts'
import { peerEventOf } from '../peer-event.ts'
import { shardProtocol } from '../protocols.ts'
import type { ShardLedger } from '../shard-ledger.ts'
import type { Stripe } from '../stripe.ts'
import { type TakeShardOptions, takeShard } from '../take-shard.ts'
import type { PeerRates } from './peer-rates.ts'
import type { Transfer } from './plan-transfers.ts'

export interface ShardTransferComponents {
  readonly network: Network
  readonly held: HeldShards
  readonly rates: PeerRates
  readonly reputation: Reputation
  readonly ledger: ShardLedger
  /** Memory for shards. */
  readonly memoryFor: NonNullable<TakeShardOptions['memoryFor']>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: BlockMetrics
}

/** `missing`: the peer has that shard no more. `failed`: it is not asked again for this stripe. */
export type TransferResult =
  | { readonly outcome: 'got'; readonly bytes: Uint8Array }
  | { readonly outcome: 'missing' | 'failed' | 'cancelled' }

/**
 * Takes one shard from a peer, or from this node's own store, and remembers how that went: who
 * sends what the manifest does not say loses reputation. Never rejects.
 */
export async function transferShard(
  parts: ShardTransferComponents,
  { id, manifest }: Stripe,
  { peer, index }: Transfer,
  { signal }: AbortOptions,
): Promise<TransferResult> {
  const end = parts.rates.begin(peer)
  try {
    const open = (opened: AbortSignal): AsyncIterable<Uint8Array> =>
      openShard(parts, { peer, index }, { stripe: id, signal: opened })
    const { clock, memoryFor } = parts
    const shard = await takeShard(open, { manifest, index }, { clock, memoryFor, signal })
    end(shard?.bytes.length)
    if (signal.aborted) return cancelled(parts)
    note(parts, peer, shard === undefined ? 'refused' : 'good-answer')
    count(parts, peer, shard === undefined ? 'missing' : 'valid', shard?.bytes.length)
    return shard === undefined ? { outcome: 'missing' } : { outcome: 'got', bytes: shard.bytes }
  } catch (error) {
    end()
    if (signal.aborted) return cancelled(parts)
    const event = peerEventOf(error)
    note(parts, peer, event ?? 'failed')
    count(parts, peer, event === 'bad-record' ? 'wrong' : 'failed')
    if (event === undefined) parts.log.warn('fetch of a shard failed', { peer, error })
    else parts.log.debug('peer gave no shard', { peer, event, error })
    return { outcome: 'failed' }
  }
}

function openShard(
  { network, held }: ShardTransferComponents,
  { peer, index }: Transfer,
  { stripe, signal }: AbortOptions & { readonly stripe: Stripe['id'] },
): AsyncIterable<Uint8Array> {
  if (peer === network.self) return held.open(stripe, index, { signal })?.pieces ?? nothing()
  const options = { signal, isTransient: true }
  return network.openBytes(peer, shardProtocol, encodeShardAsk({ stripe, index }), options)
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {
  // Empty: what was here is gone.
}

function cancelled({ metrics }: ShardTransferComponents): TransferResult {
  metrics.shardReceived('cancelled', 0)
  return { outcome: 'cancelled' }
}

function note(
  { network, reputation }: ShardTransferComponents,
  peer: PeerId,
  event: PeerEvent,
): void {
  if (peer !== network.self) reputation.note(peer, event)
}

function count(
  { network, ledger, metrics }: ShardTransferComponents,
  peer: PeerId,
  result: ShardResult,
  bytes = 0,
): void {
  if (peer === network.self) return
  ledger.noteTaken(peer, bytes)
  metrics.shardReceived(result, bytes)
}
