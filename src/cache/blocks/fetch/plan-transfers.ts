import type { PeerId } from '../../../interface/network.ts'
import type { Manifest } from '../../../wire/manifest.ts'
import { includes, indicesOf, type ShardMask } from '../shard-mask.ts'

/** One shard from one peer. */
export interface Transfer {
  readonly peer: PeerId
  readonly index: number
}

/** Where shards of one stripe can be had, and how far the fetch has come. */
export interface TransferState {
  readonly sources: readonly Source[]
  readonly got: ShardMask
  readonly active: readonly Transfer[]
  readonly hasFailed: (transfer: Transfer) => boolean
}

export interface Source {
  readonly peer: PeerId
  /** Shards that it can give. */
  readonly shards: ShardMask
}

export interface TransferCosts {
  /** Predicted time of one more shard from the peer. */
  readonly costOf: (peer: PeerId) => number
  readonly dataShards: number
}

/** A parity shard has to be decoded: about as dear as a tenth of its way here. */
const parityFactor = 1.1

/**
 * The best shard to ask for next: not one that is here or on its way, from the peer that is
 * predicted to be fastest, data shards before parity. With `isUrgent`, when nothing else is left,
 * one that is on its way from somebody else. Pure.
 */
export function nextTransfer(
  state: TransferState,
  { costOf, dataShards }: TransferCosts,
  { isUrgent }: { readonly isUrgent: boolean },
): Transfer | undefined {
  const fresh = best(state, { costOf, dataShards }, ({ index }) =>
    state.active.every(transfer => transfer.index !== index),
  )
  if (fresh !== undefined || !isUrgent) return fresh
  return best(state, { costOf, dataShards }, ({ peer, index }) =>
    state.active.every(transfer => transfer.index !== index || transfer.peer !== peer),
  )
}

function best(
  { sources, got, hasFailed }: TransferState,
  { costOf, dataShards }: TransferCosts,
  isFree: (transfer: Transfer) => boolean,
): Transfer | undefined {
  let chosen: Transfer | undefined
  let chosenCost = Number.POSITIVE_INFINITY
  for (const { peer, shards } of sources) {
    const cost = costOf(peer)
    for (const index of indicesOf(shards)) {
      const transfer = { peer, index }
      const shardCost = index < dataShards ? cost : cost * parityFactor
      if (shardCost >= chosenCost || includes(got, index)) continue
      if (!isFree(transfer) || hasFailed(transfer)) continue
      chosen = transfer
      chosenCost = shardCost
    }
  }
  return chosen
}

/** A peer takes longer than this for a shard: then chance decides how much longer. */
const tailMs = 100
const lateMsMin = 50
/** Until a peer was measured, nobody knows what is late. */
const lateUnknownMs = 500

export interface Forecast {
  /** Predicted time of a shard. */
  readonly expectedMs: number
  readonly isMeasured: boolean
}

/**
 * How many shards more than are needed are asked for at once. Of a single block over slow paths
 * two: with (8,14) over home uplinks that halves the time for 15 % more bytes (simulated: research,
 * erasure-and-placement.md §5). Elsewhere it would take as much from the other blocks as it gives
 * this one (ADR 0008): there a shard is asked for again once it is late. Pure.
 */
export function extraAtOnce(
  { dataShards }: Pick<Manifest, 'dataShards'>,
  { expectedMs, isMeasured }: Forecast,
  { isOnly }: { readonly isOnly: boolean },
): number {
  const isSlow = !isMeasured || expectedMs > tailMs
  // A second whole copy would double the bytes.
  return isOnly && isSlow ? Math.min(2, dataShards >> 1) : 0
}

/** After so long a shard is late, and another one is asked for beside it. Pure. */
export function lateAfterMs({ expectedMs, isMeasured }: Forecast): number {
  return Math.max(isMeasured ? lateMsMin : lateUnknownMs, 2 * expectedMs)
}
