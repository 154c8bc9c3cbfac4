import { createHash } from 'node:crypto'
import type { PeerId } from '../../../key/peer-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { Scope } from '../../../key/scope.ts'
import type { HandedBlock } from '../offer-blocks.ts'
import type { BlockOrigin, RunId } from '../tiers/block-note.ts'
import {
  type AuditorComponents,
  type AuditVerdict,
  BlockAuditor,
  type SentRun,
} from './audit-blocks.ts'
import { BasedAnswers } from './based-answers.ts'
import { type Residence, ResidentOrigins } from './resident-origins.ts'

export type RunJudgeComponents = AuditorComponents

/** What every run of one generation has in common. */
export type RunContext = Omit<SentRun, 'issuer' | 'run' | 'from' | 'to'>

/**
 * What this node makes of audits: runs that agreed become as good as its own blocks; an issuer
 * whose run did not loses all of them, and whatever was computed on top.
 */
export class RunJudge {
  readonly #parts: RunJudgeComponents
  readonly #auditor: BlockAuditor
  readonly #answers = new BasedAnswers()
  #onWrongAnswers: (answers: readonly LookupKey[]) => Promise<void> = async () => undefined
  /** Moves on with every liar found; what still runs in the one before keeps its origins. */
  #epoch = { number: 0, origins: new ResidentOrigins() }

  constructor(components: RunJudgeComponents) {
    this.#parts = components
    this.#auditor = new BlockAuditor(components, (verdict, run) => this.#settle(verdict, run))
  }

  noteAnswer(answer: LookupKey, issuers: readonly PeerId[]): void {
    this.#answers.note(answer, issuers)
  }

  /** Is told of answers that rest on what a liar sent. */
  onWrongAnswers(listener: (answers: readonly LookupKey[]) => Promise<void>): void {
    this.#onWrongAnswers = listener
  }

  get waitingCount(): number {
    return this.#auditor.waitingCount
  }

  /** A name for a stretch of blocks that one issuer sends. */
  newRun(): RunId {
    return Buffer.from(this.#parts.random.bytes(8)).toString('hex')
  }

  /**
   * What keeps resident state of different scopes apart in the engine, and state that rests on a
   * liar's blocks out of use: SHA-256("hyperspace/partition/1" ‖ scope salt), cut to 16 hex digits,
   * and a number that moves on with every liar found.
   */
  residenceOf(scope: Scope): Residence {
    const { number, origins } = this.#epoch
    return { partition: `${partitionOf(scope)}/${number}`, origins }
  }

  /** Schedules audits of what peers had sent of a prompt, run by run. */
  schedule(offered: readonly HandedBlock[], context: RunContext): void {
    this.#auditor.schedule(runsOf(offered).map(run => ({ ...run, ...context })))
  }

  clear(): void {
    this.#auditor.clear()
    this.#nextEpoch()
  }

  #nextEpoch(): void {
    this.#epoch = { number: this.#epoch.number + 1, origins: new ResidentOrigins() }
  }

  async #settle(verdict: AuditVerdict, run: SentRun): Promise<void> {
    const { tiers, refused, metrics, log } = this.#parts
    const { issuer, reputation } = run
    if (verdict === 'agree') {
      reputation.note(issuer, 'audit-agreed')
      const change = (origin: BlockOrigin): BlockOrigin | undefined => audited(origin, run)
      this.#epoch.origins.revise(change)
      await tiers.revise(change)
    } else if (verdict === 'disagree') {
      refused.add(issuer)
      this.#nextEpoch()
      reputation.note(issuer, 'audit-disagreed')
      const dropped = await tiers.revise(origin =>
        origin.type !== 'own' && origin.issuer === issuer ? 'remove' : undefined,
      )
      metrics.blocksCounted('dropped-after-audit', dropped)
      const wrong = this.#answers.take(issuer)
      const dropping = { blocksDropped: dropped, answersDropped: wrong.length }
      log.warn('audit disagreed', { peer: issuer, ...dropping })
      await this.#onWrongAnswers(wrong)
    }
  }
}

/** Without an epoch: where nothing is imported. */
export function partitionOf({ salt }: Pick<Scope, 'salt'>): string {
  const hash = createHash('sha256').update('hyperspace/partition/1').update(salt)
  return hash.digest('hex').slice(0, 16)
}

/** Of what rests on those blocks only that the audit could have drawn. */
function audited(origin: BlockOrigin, { run, to }: SentRun): BlockOrigin | undefined {
  const isCovered = origin.type !== 'own' && origin.run === run && origin.upTo < to
  return isCovered ? { ...origin, isAudited: true } : undefined
}

/** The stretches of blocks that one issuer sent in one run and nobody has audited. */
function runsOf(
  offered: readonly HandedBlock[],
): readonly Pick<SentRun, 'issuer' | 'run' | 'from' | 'to'>[] {
  const runs: { issuer: PeerId; run: RunId; from: number; to: number }[] = []
  for (const { block, origin } of offered) {
    if (origin.type !== 'peer' || origin.isAudited) continue
    const last = runs.at(-1)
    const { issuer, run } = origin
    if (last?.run === run && last.to === block.index) last.to += 1
    else runs.push({ issuer, run, from: block.index, to: block.index + 1 })
  }
  return runs
}
