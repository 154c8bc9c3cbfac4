import { OperationError } from '../../../errors.ts'
import type { BlockRows, StateAccess } from '../../../interface/kv-state.ts'
import type { PeerId } from '../../../key/peer-id.ts'
import { blockTokens } from '../../../key/state-layout.ts'
import { auditsWaitingMax } from '../../../limits.ts'
import { delay } from '../../../std/clock.ts'
import type { Random } from '../../../std/random.ts'
import { type AbortOptions, isAbort } from '../../../std/signal.ts'
import { auditProbability } from '../../../trust/audit-schedule.ts'
import type { Reputation } from '../../../trust/reputation.ts'
import type { OfferComponents } from '../offer-blocks.ts'
import { blockAt, type PromptBlocks } from '../prompt-blocks.ts'
import { type BlockOrigin, isTrusted, ownOrigin, type RunId } from '../tiers/block-note.ts'
import { compareInTurns } from './compare-in-turns.ts'

export interface AuditorComponents extends Omit<OfferComponents, 'codec'> {
  readonly random: Random
}

/** Blocks `from` to `to` (exclusive) of a prompt, which one issuer sent in one run. */
export interface SentRun {
  readonly issuer: PeerId
  readonly run: RunId
  readonly from: number
  readonly to: number
  readonly blocks: PromptBlocks
  readonly state: StateAccess
  readonly reputation: Reputation
  /** Whether the engine has nothing else to do. */
  readonly isIdle: () => boolean
}

export type AuditVerdict = 'agree' | 'disagree' | 'inconclusive'

interface Audit {
  readonly verdict: AuditVerdict
  /** Whom it says that of: the run, or an earlier one that turned out to be wrong. */
  readonly about: SentRun
}

/** How often a waiting audit looks whether the engine is idle. */
const idleCheckMs = 500

/**
 * Checks what peers sent, in idle time: one random block of a run is computed again on top of those
 * before it and its rows are compared (DESIGN §7). Whoever sends wrong state does not know which.
 */
export class BlockAuditor {
  readonly #parts: AuditorComponents
  readonly #settle: (verdict: AuditVerdict, run: SentRun) => Promise<void>
  readonly #waiting: SentRun[] = []
  #isRunning = false

  constructor(
    components: AuditorComponents,
    settle: (verdict: AuditVerdict, run: SentRun) => Promise<void>,
  ) {
    this.#parts = components
    this.#settle = settle
  }

  get waitingCount(): number {
    return this.#waiting.length
  }

  /**
   * Audits the runs of one prompt, first to last, later or not at all: by how their issuers have
   * done so far. What lies before a run that is audited is audited too, since only then it can be.
   */
  schedule(runs: readonly SentRun[]): void {
    const last = runs.findLastIndex(run => this.#isDrawn(run))
    for (const run of runs.slice(0, last + 1)) this.#add(run)
    if (this.#isRunning || this.#waiting.length === 0) return
    this.#isRunning = true
    this.#parts.scope.spawn('audit blocks', signal => this.#run(signal))
  }

  clear(): void {
    this.#waiting.length = 0
  }

  #isDrawn({ reputation, issuer }: SentRun): boolean {
    return this.#draw() < auditProbability(reputation.standingOf(issuer))
  }

  /** Uniform in [0, 1). */
  #draw(): number {
    const [word = 0] = new Uint32Array(Uint8Array.from(this.#parts.random.bytes(4)).buffer)
    return word / 0x1_0000_0000
  }

  #add(run: SentRun): void {
    if (this.#waiting.some(waiting => waiting.run === run.run)) return
    // What is not audited is not served onward, and audited when it is used the next time.
    if (this.#waiting.length < auditsWaitingMax) this.#waiting.push(run)
    else this.#parts.metrics.blocksCounted('audit-shed', 1)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { metrics, log } = this.#parts
    try {
      for (let run = this.#waiting[0]; run !== undefined; run = this.#waiting[0]) {
        const { verdict, about } = await this.#audit(run, { signal })
        if (this.#waiting[0] === run) this.#waiting.shift()
        metrics.blocksCounted(`audit-${verdict}`, 1)
        try {
          await this.#settle(verdict, about)
        } catch (error) {
          log.warn('audit not settled', { error })
        }
      }
    } catch (error) {
      if (!isAbort(error)) throw error
    } finally {
      this.#isRunning = false
    }
  }

  async #audit(run: SentRun, options: AbortOptions): Promise<Audit> {
    const { from, to } = run
    const inconclusive: Audit = { verdict: 'inconclusive', about: run }
    await this.#idle(run, options)
    const before = this.#originsBefore(run)
    // With what somebody may have made wrong before it, a block says nothing of its issuer.
    if (!before.every(origin => origin !== undefined && isTrusted(origin))) return inconclusive
    const drawn = from + Math.floor(this.#draw() * (to - from))
    const verdict = await this.#check(run, drawn, options)
    if (verdict !== 'disagree') return { verdict, about: run }
    for (const [index, origin = ownOrigin] of before.entries()) {
      // An audit before may have drawn another block than the one that was wrong.
      if (origin.type === 'own') continue
      const earlier = await this.#check(run, index, options)
      if (earlier === 'agree') continue
      if (earlier === 'inconclusive' || origin.type === 'based') return inconclusive
      const { issuer, run: name } = origin
      return { verdict: 'disagree', about: { ...run, issuer, run: name } }
    }
    return { verdict, about: run }
  }

  async #idle({ isIdle }: SentRun, { signal }: AbortOptions): Promise<void> {
    while (!isIdle()) await delay(this.#parts.clock, idleCheckMs, signal)
  }

  /** Of the blocks in front of a run; undefined for what is not here. */
  #originsBefore({ blocks, from }: SentRun): readonly (BlockOrigin | undefined)[] {
    return blocks.keys.slice(0, from).map(key => this.#parts.tiers.originOf(key))
  }

  /** Whether a block is what it should be on top of those before it, once the engine is idle. */
  async #check(run: SentRun, index: number, { signal }: AbortOptions): Promise<AuditVerdict> {
    const { clock, tiers } = this.#parts
    const { blocks, state } = run
    const before = { isWhole: true }
    try {
      await this.#idle(run, { signal })
      const claimed = await tiers.read(blockAt(blocks, index), { signal })
      if (claimed === undefined) return 'inconclusive'
      const offer = {
        tokens: index * blockTokens,
        blocks: (options: AbortOptions) => this.#before(run, index, before, options),
      }
      const tokenIds = blocks.tokenIds.slice(0, (index + 1) * blockTokens)
      const computed = await state.recomputeBlock(tokenIds, offer, { signal })
      if (!before.isWhole) return 'inconclusive'
      const { agrees } = await compareInTurns(blocks.kind.layout, claimed.rows, computed)
      return agrees ? 'agree' : 'disagree'
    } catch (error) {
      if (signal.aborted) throw error
      this.#parts.log.debug('audit not made', { error })
      if (error instanceof OperationError && error.code === 'engine_busy') {
        await delay(clock, idleCheckMs, signal)
      }
      return 'inconclusive'
    }
  }

  async *#before(
    { blocks }: SentRun,
    count: number,
    told: { isWhole: boolean },
    options: AbortOptions,
  ): AsyncGenerator<BlockRows, void, void> {
    for (let index = 0; index < count; index++) {
      const open = await this.#parts.tiers.read(blockAt(blocks, index), options)
      if (open === undefined) {
        told.isWhole = false
        return
      }
      yield open.rows
    }
  }
}
