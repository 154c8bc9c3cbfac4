import type { PeerId } from '../../../interface/network.ts'
import { stripeShardsMax } from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { shardBytesIn } from '../../../wire/manifest.ts'
import { firstShards, includes, maskOf, noShards, type ShardMask, union } from '../shard-mask.ts'
import { type FoundStripe, givenBy } from './found-stripe.ts'
import {
  extraAtOnce,
  type Forecast,
  lateAfterMs,
  nextTransfer,
  type Source,
  type Transfer,
} from './plan-transfers.ts'
import {
  type ShardTransferComponents,
  type TransferResult,
  transferShard,
} from './shard-transfer.ts'

/** Enough shards of one stripe to decode it. */
export interface GatheredStripe {
  readonly shards: readonly (Uint8Array | undefined)[]
  /** Who gave them. */
  readonly givers: ReadonlySet<PeerId>
  /** What could not be had of those who said they had it. */
  readonly lost: ReadonlyMap<PeerId, ShardMask>
}

interface Running extends Transfer {
  readonly controller: AbortController
  readonly startMs: number
  /** Another one was asked for beside it. */
  isLate: boolean
  done: Promise<void>
}

export interface FetchStripeOptions extends AbortOptions {
  /** No other block is fetched with it. */
  readonly isOnly: boolean
}

/**
 * Fetches one stripe: as many shards as are needed from the best peers, and others where they are
 * late; who fails is replaced; all that runs is cancelled once there are enough. Undefined when not
 * enough can be had. @throws the signal's reason
 */
export async function fetchStripe(
  parts: ShardTransferComponents,
  found: FoundStripe,
  { signal, isOnly }: FetchStripeOptions,
): Promise<GatheredStripe | undefined> {
  const run = new StripeFetch(parts, found)
  const onAbort = (): void => run.cancel()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    const gathered = await run.gather({ isOnly })
    signal.throwIfAborted()
    return gathered
  } finally {
    signal.removeEventListener('abort', onAbort)
    await run.end()
  }
}

class StripeFetch {
  readonly #parts: ShardTransferComponents
  readonly #found: FoundStripe
  readonly #sources: readonly Source[]
  readonly #shardBytes: number
  readonly #got = new Map<number, Uint8Array>()
  readonly #active = new Set<Running>()
  readonly #givers = new Set<PeerId>()
  readonly #lost = new Map<PeerId, ShardMask>()
  #extras = 0
  #isCancelled = false
  #wake = (): void => undefined

  constructor(parts: ShardTransferComponents, found: FoundStripe) {
    const { stripe, holders } = found
    this.#parts = parts
    this.#found = found
    this.#sources = holders.map(holder => ({
      peer: holder.peer,
      shards: givenBy(holder, stripe.manifest),
    }))
    this.#shardBytes = shardBytesIn(stripe.manifest)
  }

  async gather(options: Pick<FetchStripeOptions, 'isOnly'>): Promise<GatheredStripe | undefined> {
    const { manifest } = this.#found.stripe
    this.#launch()
    this.#extras = extraAtOnce(manifest, this.#worstForecast(), options)
    const endWaiting = this.#parts.rates.onRoom(() => this.#wake())
    try {
      while (!this.#isCancelled) {
        if (this.#got.size >= manifest.dataShards) return this.#result()
        const isWaiting = this.#launch() === 'no-room'
        if (this.#active.size === 0 && !isWaiting) return undefined
        await this.#news()
      }
      return undefined
    } finally {
      endWaiting()
    }
  }

  cancel(): void {
    this.#isCancelled = true
    for (const { controller } of this.#active) {
      controller.abort(new DOMException('The shard is not wanted any more', 'AbortError'))
    }
    this.#wake()
  }

  /** Cancels what runs. When it returns, nothing does. */
  async end(): Promise<void> {
    this.cancel()
    await Promise.all([...this.#active].map(({ done }) => done))
  }

  #result(): GatheredStripe {
    const { shards } = this.#found.stripe.manifest
    return {
      shards: Array.from({ length: shards }, (_, index) => this.#got.get(index)),
      givers: this.#givers,
      lost: this.#lost,
    }
  }

  /**
   * Starts transfers until as many run as are needed, and the extra ones; or until the one that
   * would be best has to wait for others from the same peer, or there is nothing left to ask for.
   */
  #launch(): 'enough' | 'no-room' | 'none' {
    const { dataShards } = this.#found.stripe.manifest
    const costs = { dataShards, costOf: (peer: PeerId) => this.#costOf(peer) }
    for (;;) {
      const late = [...this.#active].filter(({ isLate }) => isLate).length
      if (this.#active.size >= dataShards - this.#got.size + this.#extras + late) return 'enough'
      const state = {
        sources: this.#sources,
        got: [...this.#got.keys()].reduce((mask, index) => union(mask, maskOf(index)), noShards),
        active: [...this.#active],
        hasFailed: (transfer: Transfer) => this.#hasFailed(transfer),
      }
      const next = nextTransfer(state, costs, { isUrgent: late > 0 })
      if (next === undefined) return 'none'
      if (!this.#parts.rates.hasRoom(next.peer)) return 'no-room'
      this.#start(next)
    }
  }

  #costOf(peer: PeerId): number {
    const { network, rates } = this.#parts
    return peer === network.self ? 0 : rates.costOf(peer, this.#shardBytes)
  }

  #forecastOf(peer: PeerId): Forecast {
    const { network, rates } = this.#parts
    if (peer === network.self) return { expectedMs: 0, isMeasured: true }
    const expectedMs = rates.expectedMs(peer, this.#shardBytes)
    return { expectedMs, isMeasured: rates.isMeasured(peer) }
  }

  #worstForecast(): Forecast {
    const forecasts = [...this.#active].map(({ peer }) => this.#forecastOf(peer))
    return {
      expectedMs: Math.max(0, ...forecasts.map(({ expectedMs }) => expectedMs)),
      isMeasured: forecasts.every(({ isMeasured }) => isMeasured),
    }
  }

  #hasFailed({ peer, index }: Transfer): boolean {
    const { reputation } = this.#parts
    return includes(this.#lost.get(peer) ?? noShards, index) || reputation.isQuarantined(peer)
  }

  /** Until a transfer has ended, or is late: then another one is asked for. */
  async #news(): Promise<void> {
    const { clock } = this.#parts
    const waiting = [...this.#active].filter(({ isLate }) => !isLate)
    const ends = waiting.map(running => ({
      running,
      lateMs: running.startMs + lateAfterMs(this.#forecastOf(running.peer)),
    }))
    const [first] = ends.toSorted((a, b) => a.lateMs - b.lateMs)
    await new Promise<void>(resolve => {
      const onLate = (): void => {
        if (first !== undefined) first.running.isLate = true
        this.#wake()
      }
      const cancelTimer =
        first === undefined
          ? undefined
          : clock.after(Math.max(0, first.lateMs - clock.monotonicMs()), onLate)
      this.#wake = () => {
        cancelTimer?.()
        resolve()
      }
    })
  }

  #start(transfer: Transfer): void {
    const controller = new AbortController()
    const running: Running = {
      ...transfer,
      controller,
      startMs: this.#parts.clock.monotonicMs(),
      isLate: false,
      done: Promise.resolve(),
    }
    this.#active.add(running)
    running.done = this.#run(running).finally(() => {
      this.#active.delete(running)
      this.#wake()
    })
  }

  async #run({ peer, index, controller }: Running): Promise<void> {
    const { signal } = controller
    const { stripe } = this.#found
    this.#take(
      { peer, index },
      await transferShard(this.#parts, stripe, { peer, index }, { signal }),
    )
  }

  #take({ peer, index }: Transfer, result: TransferResult): void {
    if (result.outcome === 'missing') this.#lose(peer, maskOf(index))
    if (result.outcome === 'failed') this.#lose(peer, firstShards(stripeShardsMax))
    if (result.outcome !== 'got' || this.#got.has(index)) return
    this.#got.set(index, result.bytes)
    if (peer !== this.#parts.network.self) this.#givers.add(peer)
    for (const running of this.#active) {
      if (running.index === index) running.controller.abort(new DOMException('Got', 'AbortError'))
    }
  }

  #lose(peer: PeerId, shards: ShardMask): void {
    this.#lost.set(peer, union(this.#lost.get(peer) ?? noShards, shards))
  }
}
