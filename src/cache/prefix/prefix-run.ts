import type { GenerationEvent, StartEvent } from '../../interface/generation.ts'
import type { BlockRows, PrefixUse, StateSink } from '../../interface/kv-state.ts'
import type { SparedTokens } from '../../interface/metrics.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { blockBytes, blockTokens } from '../../key/state-layout.ts'
import { tokensText } from '../../route/plain-words.ts'
import type { TtftPlan, TtftRates } from '../../route/predict-ttft.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { basedOn, type Residence } from './audit/resident-origins.ts'
import {
  type BlockOffer,
  type HandedBlock,
  type OfferComponents,
  type OfferedBlock,
  offerBlocks,
} from './offer-blocks.ts'
import type { PrefixReport } from './prefix-report.ts'
import { blockAt, type PromptBlock, type PromptBlocks } from './prompt-blocks.ts'
import type { Rates } from './rates.ts'
import { type BlockOrigin, isTrusted, ownOrigin } from './tiers/block-note.ts'
import type { BlockFill, FillQueue, PlaceableBlock } from './tiers/fill-queue.ts'

export interface PrefixRunComponents extends OfferComponents {
  readonly rates: Rates
  readonly fills: FillQueue
}

/** One generation as it was planned. */
export interface PlannedRun {
  readonly blocks: PromptBlocks
  readonly plan: TtftPlan
  /** As the engine said when it was planned. */
  readonly residentTokens: number
  readonly offer: BlockOffer | undefined
  /** Indices of the blocks that are worth keeping, first to last. */
  readonly admitted: ReadonlySet<number>
  /** Whether a block is kept already, or on its way there. */
  readonly isKept: (key: LookupKey) => boolean
  readonly rates: TtftRates
  /** Monotonic milliseconds at which the request came, and what planning has cost since. */
  readonly startMs: number
  /** Whether nothing else ran: only then a rate is measured. */
  readonly isAlone: boolean
  readonly residence: Residence
  /** What the blocks that are kept have in common. */
  readonly fill: Pick<BlockFill, 'swarm' | 'expiresAt' | 'modelId' | 'place'>
  /** As `SwarmBlocks.recall`. */
  readonly recall: (block: Omit<PlaceableBlock, 'sealed'>) => boolean
  /** What came from a peer and was handed to the engine, when the generation has ended. */
  readonly onOffered: (blocks: readonly HandedBlock[]) => void
}

/** Fewer tokens say little of how fast a prefill is. */
const measuredTokensLeast = 64

/** What the engine said at its beginning, with nothing left open. */
type Started = Required<Omit<StartEvent, 'type' | 'importMs'>> & Pick<StartEvent, 'importMs'>

/** What the prefix cache does for one generation, from its offer to the blocks that it keeps. */
export class PrefixRun {
  readonly use: PrefixUse
  /** For `GenerateOptions.partition`. */
  readonly partition: string
  readonly #parts: PrefixRunComponents
  readonly #planned: PlannedRun
  readonly #offered: HandedBlock[] = []
  /** Once it was asked for it stays. */
  #kept: { readonly sink: StateSink | undefined } | undefined
  #start: Started | undefined
  #endedEarly: string | undefined
  #beganMs: number
  #hasSpoken = false
  /** Somebody waits for a first token. */
  #isAwaited = true
  /** Lets what came from peers be stored. */
  #releaseFills: (() => void) | undefined
  /** Of the leading blocks that were not computed here now. */
  #usedOrigins: readonly BlockOrigin[] = []

  constructor(components: PrefixRunComponents, planned: PlannedRun) {
    this.#parts = components
    this.#planned = planned
    this.#beganMs = components.clock.monotonicMs()
    const { offer, blocks, residence } = planned
    this.partition = residence.partition
    const keep = (): StateSink | undefined => this.#keep()
    this.use = {
      tokenIds: blocks.tokenIds,
      ...(offer === undefined ? {} : { offer: this.#stateOffer(offer) }),
      get keep() {
        return keep()
      },
    }
  }

  /** Every event of the generation goes through here. */
  note(event: GenerationEvent): GenerationEvent {
    if (event.type === 'start') {
      const { promptTokens = this.#planned.blocks.tokenIds.length } = event
      this.#settle({ promptTokens, cachedTokens: 0, importedTokens: 0, ...event })
      return event
    }
    if (event.type !== 'usage') {
      if (!this.#hasSpoken) this.#measure()
      this.#hasSpoken = true
      this.#endWait()
      return event
    }
    const { usage } = event
    const { promptTokens, cachedTokens } = usage
    if (this.#start?.cachedTokens !== cachedTokens) {
      this.#settle({ importedTokens: 0, ...this.#start, promptTokens, cachedTokens })
    }
    const cacheWriteTokens = this.#writeTokens(cachedTokens)
    return cacheWriteTokens === 0 ? event : { ...event, usage: { ...usage, cacheWriteTokens } }
  }

  /** After the last event, or when the generation was given up. */
  end(): void {
    const { rates, clock } = this.#parts
    this.#endWait()
    if (this.#hasSpoken) rates.noteGeneration(clock.monotonicMs() - this.#beganMs)
    this.#planned.onOffered(this.#offered)
    this.#placeOffered()
  }

  report(): PrefixReport | undefined {
    if (this.#start === undefined) return undefined
    const untrusted = this.#usedOrigins.filter(origin => !isTrusted(origin)).length
    const issuers = this.#usedOrigins.flatMap(origin =>
      origin.type === 'own' ? [] : [origin.issuer],
    )
    const isDecided = this.#planned.blocks.usableMax > 0
    return {
      ...(isDecided ? { reason: this.#reason() } : {}),
      spared: this.#spared(),
      unauditedTokens: Math.min(untrusted * blockTokens, this.#start.promptTokens),
      issuers: [...new Set(issuers)],
    }
  }

  #endWait(): void {
    this.#isAwaited = false
    this.#releaseFills?.()
  }

  /** What is not kept by the time that it is asked for: blocks of peers are, as they come. */
  #keep(): StateSink | undefined {
    if (this.#kept !== undefined) return this.#kept.sink
    const wanted = [...this.#planned.admitted].filter(index => this.#isWanted(index))
    const [from] = wanted
    const last = wanted.at(-1)
    const isNone = from === undefined || last === undefined
    const sink = isNone ? undefined : { range: { from, to: last + 1 }, take: this.#take.bind(this) }
    this.#kept = { sink }
    return sink
  }

  #isWanted(index: number): boolean {
    const { admitted, blocks, isKept } = this.#planned
    const key = blocks.keys[index]
    return key !== undefined && admitted.has(index) && !isKept(key)
  }

  #stateOffer(offer: BlockOffer): NonNullable<PrefixUse['offer']> {
    const fetched = offer.fetch?.run.blocks.length ?? 0
    return {
      tokens: (offer.localBlocks + fetched) * blockTokens,
      blocks: options => this.#blocks(offer, options),
    }
  }

  /** As `StateOffer.blocks` asks: whatever goes wrong ends the offer, and prefill goes on. */
  async *#blocks(offer: BlockOffer, options: AbortOptions): AsyncGenerator<BlockRows, void, void> {
    const { log } = this.#parts
    const listener = {
      onBlock: (block: OfferedBlock): void => this.#handOut(block),
      onEnd: (reason: string): void => {
        this.#endedEarly = reason
      },
    }
    try {
      yield* offerBlocks(this.#parts, offer, listener, options)
    } catch (error) {
      // Whatever else was aborted is no affair of the engine's.
      if (options.signal.aborted) throw error
      log.warn('KV state not offered', { error })
      this.#endedEarly = 'the KV state could not be read'
    }
  }

  #handOut(offered: OfferedBlock): void {
    const { fills } = this.#parts
    const { blocks, residence } = this.#planned
    const { block, rows, tier, origin, nonce, waitedMs } = offered
    // Without the rows, which would stay in memory as long as the answer takes.
    this.#offered.push({ block, tier, origin, waitedMs })
    // From now on the engine may hold it, whatever becomes of this generation.
    residence.origins.set(blocks, block.index, origin)
    if (nonce === undefined) return
    const { place: _, ...fill } = this.#planned.fill
    const costSeconds = this.#costSeconds(block)
    if (this.#isAwaited) this.#releaseFills ??= fills.hold()
    fills.add({ ...fill, block, rows, origin, nonce, costSeconds })
  }

  /**
   * Gives the swarm what came from disk and was not given to it before: it may have been computed
   * when there was none, or nobody could take it. Read once more, in the background: coding blocks
   * while the engine waits for the next would cost the answer more than reading them later.
   */
  #placeOffered(): void {
    const { scope, tiers } = this.#parts
    const { recall, fill } = this.#planned
    const { place, modelId, swarm } = fill
    const offered = this.#offered.filter(({ tier, origin }) => tier === 'disk' && isTrusted(origin))
    if (place === undefined || swarm === undefined || offered.length === 0) return
    scope.spawn('place blocks from disk', async signal => {
      for (const { block } of offered) {
        const { hash, key, kind } = block
        // What lies there by now may be what a peer sent, which is not to be vouched for.
        const isServable = (): boolean => tiers.isServable(key, swarm)
        const { numericClass } = kind
        const facts = { hash, modelId, numericClass, costSeconds: this.#costSeconds(block) }
        if (!isServable() || recall(facts)) continue
        const sealed = await tiers.sealed(key, { signal })
        if (sealed !== undefined && isServable()) place({ ...facts, sealed })
      }
    })
  }

  /** The engine has begun: what it holds now rests on what it took over. */
  #settle(start: Started): void {
    const { blocks, residence } = this.#planned
    const { origins } = residence
    const { cachedTokens } = start
    // An engine may have used less of what it took over than there was.
    const taken = Math.min(start.importedTokens, cachedTokens)
    const importedTokens = taken - (taken % blockTokens)
    this.#start = { ...start, importedTokens }
    const used = Math.ceil(cachedTokens / blockTokens)
    this.#usedOrigins =
      importedTokens > 0
        ? this.#offered.slice(0, used).map(({ origin }) => origin)
        : origins.of(blocks, cachedTokens)
    const computed = basedOn(this.#usedOrigins.at(-1) ?? ownOrigin)
    for (let index = used; index < blocks.keys.length; index++) {
      origins.set(blocks, index, computed)
    }
  }

  #take(index: number, rows: BlockRows): void {
    const { blocks, fill } = this.#planned
    if (!this.#isWanted(index)) return
    const block = blockAt(blocks, index)
    const last = this.#usedOrigins.at(-1) ?? ownOrigin
    const origin = this.#usedOrigins[index] ?? basedOn(last)
    const { place, ...rest } = fill
    const placed = isTrusted(origin) && place !== undefined ? { place } : {}
    const costSeconds = this.#costSeconds(block)
    this.#parts.fills.add({ ...rest, ...placed, block, rows, origin, costSeconds })
  }

  /**
   * Seconds of prefill that having the block saves. Without those before it a block is worth
   * nothing, so that those in front are worth more and leave last.
   */
  #costSeconds({ index }: PromptBlock): number {
    const own = blockTokens / this.#planned.rates.prefillTokensPerSecond
    return own * (1 + 1 / (index + 1))
  }

  /** Tokens that go into the cache, without those that came out of it. */
  #writeTokens(cachedTokens: number): number {
    const { admitted } = this.#planned
    return [...admitted].filter(index => index * blockTokens >= cachedTokens).length * blockTokens
  }

  /** At the first token: how good the prediction was, and how fast the engine is. */
  #measure(): void {
    const { clock, metrics, rates } = this.#parts
    const { plan, startMs, blocks, isAlone, residentTokens } = this.#planned
    const nowMs = clock.monotonicMs()
    const planningMs = this.#beganMs - startMs
    metrics.ttftPredicted((planningMs + plan.predictedMs) / 1_000, (nowMs - startMs) / 1_000)
    if (!isAlone || this.#start === undefined) return
    const { cachedTokens, promptTokens, importedTokens, importMs } = this.#start
    const { numericClass, layout } = blocks.kind
    const computed = promptTokens - cachedTokens
    const ms = nowMs - this.#beganMs
    if (importedTokens === 0) {
      const isSure = computed >= measuredTokensLeast && cachedTokens <= residentTokens
      if (isSure) rates.notePrefill(numericClass, computed, ms)
      return
    }
    const bytes = (importedTokens / blockTokens) * blockBytes(layout)
    if (importMs !== undefined) {
      rates.noteImport(numericClass, bytes, importMs)
      return
    }
    const waitedMs = this.#offered.reduce((sum, offered) => sum + offered.waitedMs, 0)
    const prefillMs = (computed / this.#planned.rates.prefillTokensPerSecond) * 1_000
    rates.noteImport(numericClass, bytes, ms - waitedMs - prefillMs)
  }

  #spared(): SparedTokens {
    const { cachedTokens = 0, importedTokens = 0 } = this.#start ?? {}
    const spared = { resident: cachedTokens - importedTokens, memory: 0, disk: 0, peer: 0 }
    for (const { tier } of this.#offered.slice(0, importedTokens / blockTokens)) {
      spared[tier] += blockTokens
    }
    return spared
  }

  #reason(): string {
    const { plan, residentTokens, offer } = this.#planned
    const { cachedTokens = 0, importedTokens = 0 } = this.#start ?? {}
    const resident = cachedTokens - importedTokens
    const parts: string[] = []
    if (resident > 0 && (offer !== undefined || resident !== residentTokens)) {
      parts.push(`${tokensText(resident)} were resident`)
    } else parts.push(plan.reason)
    if (offer !== undefined && cachedTokens === 0 && this.#endedEarly === undefined) {
      parts.push('the engine did not take it over')
    }
    if (this.#endedEarly !== undefined) parts.push(this.#endedEarly)
    return parts.join('; ')
  }
}
