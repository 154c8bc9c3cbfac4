import type { Log } from '../../../interface/log.ts'
import type { BlockMetrics, PlacementOutcome } from '../../../interface/metrics.ts'
import type { PeerId } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { placeBatchMax, placesMax, sealedBlockBytesMax } from '../../../limits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import type { BlockLookups } from '../fetch/block-lookups.ts'
import type { FoundStripe } from '../fetch/found-stripe.ts'
import type { OwnStripes } from '../hold/own-stripes.ts'
import type { LonelyBlocks } from './lonely-blocks.ts'
import type { PlaceJob, PlaceQueue } from './place-queue.ts'
import type { RepairPolicy } from './repair-policy.ts'
import type { StripeRepairer } from './stripe-repairer.ts'
import type { StripeWriter } from './stripe-writer.ts'

export interface BlockPlacerComponents {
  readonly queue: PlaceQueue
  readonly lookups: BlockLookups
  readonly policy: RepairPolicy
  readonly writer: StripeWriter
  readonly repairer: StripeRepairer
  readonly own: OwnStripes
  readonly lonely: LonelyBlocks
  readonly self: PeerId
  readonly scope: TaskScope
  readonly log: Log
  readonly metrics: BlockMetrics
}

type NewBlock = Extract<PlaceJob, { readonly type: 'place' }>

/** Longest look whether the swarm has the blocks already. */
const lookupMs = 1_000

/**
 * Places blocks in the background: those that the swarm does not have yet, and what is lost of
 * those that it has.
 */
export class BlockPlacer {
  readonly #parts: BlockPlacerComponents
  #running = 0
  #isPumping = false

  constructor(components: BlockPlacerComponents) {
    this.#parts = components
  }

  /** Blocks that wait or are on their way. */
  get placing(): number {
    return this.#parts.queue.size + this.#running
  }

  add(job: PlaceJob): void {
    const { queue, metrics, log } = this.#parts
    if (job.sealed.length > sealedBlockBytesMax || !queue.add(job)) {
      metrics.blockPlacementFinished('shed')
      log.debug('block not placed', { bytes: job.sealed.length, waiting: queue.size })
      return
    }
    this.#pump()
  }

  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    this.#parts.scope.spawn('place blocks', async signal => {
      try {
        while (this.#parts.queue.size > 0) await this.#runBatch(signal)
      } finally {
        this.#isPumping = false
      }
    })
  }

  async #runBatch(signal: AbortSignal): Promise<void> {
    const { queue, lookups } = this.#parts
    const jobs = queue.take(placeBatchMax)
    this.#running += jobs.length
    try {
      const isNew = (key: LookupKey): boolean => this.#parts.own.get(key)?.isPlaced !== true
      const keys = jobs.flatMap(job => (job.type === 'place' && isNew(job.key) ? [job.key] : []))
      const options = { signal, deadlineMs: lookupMs }
      const known = keys.length === 0 ? undefined : await lookups.collect(keys, options)
      const waiting = jobs.values()
      const lane = async (): Promise<void> => {
        for (const job of waiting) await this.#run(job, known?.stripes.get(job.key) ?? [], signal)
      }
      await Promise.all(Array.from({ length: placesMax }, lane))
    } finally {
      this.#running -= jobs.length
    }
  }

  async #run(job: PlaceJob, known: readonly FoundStripe[], signal: AbortSignal): Promise<void> {
    const { log, metrics, repairer } = this.#parts
    if (signal.aborted) return
    let outcome: PlacementOutcome
    try {
      outcome =
        job.type === 'repair'
          ? await repairer.repair(job.found, job.sealed, { signal })
          : await this.#place(job, known, { signal })
    } catch (error) {
      if (signal.aborted) return
      log.warn('block not placed', { error })
      outcome = 'failed'
    }
    metrics.blockPlacementFinished(outcome)
  }

  async #place(
    job: NewBlock,
    known: readonly FoundStripe[],
    options: AbortOptions,
  ): Promise<PlacementOutcome> {
    const { own, policy, writer, repairer, lonely } = this.#parts
    if (own.get(job.key)?.isPlaced === true) return 'known'
    const [best] = known.filter(({ holders }) => holders.some(({ peer }) => !this.#isSelf(peer)))
    const coded = best && (await writer.codedAs(best.stripe, job.sealed, options))
    if (best !== undefined && !policy.isLosing(best)) {
      await writer.keep(job, coded, options)
      return 'known'
    }
    if (best !== undefined && coded !== undefined && best.stripe.manifest.shards > 1) {
      await writer.keep(job, coded, options)
      return await repairer.repair(best, job.sealed, options)
    }
    const outcome = await writer.write(job, options)
    if (outcome === 'alone') lonely.add(job)
    return outcome
  }

  #isSelf(peer: PeerId): boolean {
    return peer === this.#parts.self
  }
}
