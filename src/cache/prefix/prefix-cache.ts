import { OperationError } from '../../errors.ts'
import type { EngineModel } from '../../interface/engine.ts'
import type { PeerId } from '../../key/peer-id.ts'
import type { LookupKey } from '../../key/response-key.ts'
import type { Scope, SwarmTag } from '../../key/scope.ts'
import { planTtft, type TtftPlan } from '../../route/predict-ttft.ts'
import type { Startable } from '../../std/lifecycle.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { Admission } from './admission.ts'
import {
  type AskComponents,
  askPrefix,
  type KnownPrefix,
  offReason,
  type PrefixAsk,
  type PrefixSwarm,
} from './ask-prefix.ts'
import type { RunJudge } from './audit/judge-runs.ts'
import type { PlacedBlocks } from './placed-blocks.ts'
import { planOffer } from './plan-offer.ts'
import { type PlannedRun, PrefixRun, type PrefixRunComponents } from './prefix-run.ts'
import type { MemoryFor, TierStats } from './tiers/block-tiers.ts'

/** Made by `createPrefixCache`. */
export interface PrefixCacheParts extends PrefixRunComponents {
  readonly admission: Admission
  readonly judge: RunJudge
  readonly placed: PlacedBlocks
  readonly swarmOf: (scope: Scope) => PrefixSwarm | undefined
}

export interface PrefixCacheOptions {
  /** How long a block is kept, from its making. */
  readonly ttlMs: number
}

/** What the cache would do with a request, and why. */
export type PrefixExplanation =
  | { readonly isOn: false; readonly reason: string }
  | {
      readonly isOn: true
      readonly promptTokens: number
      readonly wholeBlocks: number
      readonly residentTokens: number
      readonly localBlocks: number
      /** Leading blocks on disk, and in memory or on disk. */
      readonly diskBlocks: number
      readonly peerBlocks: number
      readonly plan: TtftPlan
    }

export interface PrefixStats extends TierStats {
  readonly auditsWaiting: number
}

/**
 * Layer 2: the KV state of prompts that were computed before, so that only the rest is prefilled
 * (DESIGN §6). Plans by predicted time, offers what is there to the engine, and keeps what is worth
 * it. Nothing of it can make an answer fail: whatever is missing is computed.
 */
export class PrefixCache implements Startable {
  readonly name = 'prefix cache'
  readonly #parts: PrefixCacheParts
  readonly #options: PrefixCacheOptions

  constructor(parts: PrefixCacheParts, options: PrefixCacheOptions) {
    this.#parts = parts
    this.#options = options
  }

  start(options: AbortOptions): Promise<void> {
    return this.#parts.tiers.start(options)
  }

  async stop(): Promise<void> {
    this.#parts.judge.clear()
    await this.#parts.tiers.stop()
  }

  /** Under which name the engine keeps resident state of this scope. */
  partitionOf(scope: Scope): string {
    return this.#parts.judge.residenceOf(scope).partition
  }

  /** Whether a member was proven to send wrong state: answers that rest on it are wrong too. */
  refuses(issuer: PeerId): boolean {
    return this.#parts.refused.has(issuer)
  }

  /** Remembers on whose state an answer rests that is kept. */
  noteAnswer(answer: LookupKey, issuers: readonly PeerId[]): void {
    this.#parts.judge.noteAnswer(answer, issuers)
  }

  /** Is told of such answers when one of those turns out to send wrong state. */
  onWrongAnswers(listener: (answers: readonly LookupKey[]) => Promise<void>): void {
    this.#parts.judge.onWrongAnswers(listener)
  }

  /** Why the state of a model's prompts is not kept; undefined where it is. */
  offReason(model: EngineModel): string | undefined {
    return offReason(model)
  }

  /**
   * Plans one generation; undefined where the model's state cannot be had. @throws what the engine
   * would throw for a prompt that it cannot take, and the signal's reason
   */
  async plan(ask: PrefixAsk, options: AbortOptions): Promise<PrefixRun | undefined> {
    try {
      return await this.#plan(ask, options)
    } catch (error) {
      const isOfClient = error instanceof OperationError && error.origin === 'client'
      if (options.signal.aborted || isOfClient) throw error
      this.#parts.log.warn('prompt not planned', { error })
      return undefined
    }
  }

  async #plan(ask: PrefixAsk, options: AbortOptions): Promise<PrefixRun | undefined> {
    const { clock, admission, tiers, fills, judge } = this.#parts
    const startMs = clock.monotonicMs()
    const load = ask.served.engine.load()
    const { keeps = true } = ask
    const swarm = this.#parts.swarmOf(ask.scope)
    const known = await this.#ask(ask, swarm, options)
    if ('unavailable' in known) return undefined
    const { blocks, prompt, question } = known
    const plan = planTtft(question)
    const isKept = (key: LookupKey): boolean => tiers.isOnDisk(key) || fills.has(key)
    return new PrefixRun(this.#parts, {
      blocks,
      plan,
      startMs,
      residentTokens: question.residentTokens,
      rates: question.rates,
      offer: planOffer(known, plan, swarm, () => judge.newRun()),
      admitted: keeps ? admission.admit(blocks, prompt, ask.request, isKept) : new Set(),
      isKept,
      isAlone: load.running === 0 && load.waiting === 0,
      residence: judge.residenceOf(ask.scope),
      fill: this.#fillOf(ask, swarm),
      recall: block => swarm !== undefined && this.#parts.placed.recall(swarm.blocks, block),
      onOffered: offered => this.#audit(ask, known, swarm, offered),
    })
  }

  /** What `plan` would do, without doing it. */
  async explain(ask: PrefixAsk, options: AbortOptions): Promise<PrefixExplanation> {
    const known = await this.#ask(ask, this.#parts.swarmOf(ask.scope), options)
    if ('unavailable' in known) return { isOn: false, reason: known.unavailable }
    const { question, blocks, found } = known
    const onDisk = blocks.keys.findIndex(key => !this.#parts.tiers.isOnDisk(key))
    return {
      isOn: true,
      promptTokens: question.promptTokens,
      wholeBlocks: blocks.keys.length,
      residentTokens: question.residentTokens,
      localBlocks: question.local.length,
      diskBlocks: onDisk === -1 ? blocks.keys.length : onDisk,
      peerBlocks: found.blocks.length,
      plan: planTtft(question),
    }
  }

  /** What members of a swarm may have of this node's blocks (`LocalBlocks` of cache/blocks). */
  servableTo(swarm: SwarmTag): {
    has(key: LookupKey): boolean
    sealed(key: LookupKey, memoryFor?: MemoryFor): Promise<Uint8Array | undefined>
  } {
    const { tiers, scope } = this.#parts
    const has = (key: LookupKey): boolean => tiers.isServable(key, swarm)
    const sealed = async (
      key: LookupKey,
      memoryFor?: MemoryFor,
    ): Promise<Uint8Array | undefined> => {
      const options = { signal: scope.signal, ...(memoryFor && { memoryFor }) }
      return has(key) ? await tiers.sealed(key, options) : undefined
    }
    return { has, sealed }
  }

  /** Forgets everything, what is resident included. */
  async clear(): Promise<void> {
    const { admission, fills, judge, placed, tiers } = this.#parts
    admission.clear()
    placed.withdrawAll()
    fills.clear()
    judge.clear()
    await tiers.clear()
  }

  stats(): PrefixStats {
    const { tiers, judge } = this.#parts
    return { ...tiers.stats(), auditsWaiting: judge.waitingCount }
  }

  #ask(
    ask: PrefixAsk,
    swarm: PrefixSwarm | undefined,
    { signal }: AbortOptions,
  ): ReturnType<typeof askPrefix> {
    const { judge } = this.#parts
    const parts: AskComponents = {
      ...this.#parts,
      swarm: ask.asksPeers === false ? undefined : swarm,
    }
    const { partition } = judge.residenceOf(ask.scope)
    return askPrefix(parts, ask, { signal, partition })
  }

  #fillOf(
    { served, request, scope }: PrefixAsk,
    swarm: PrefixSwarm | undefined,
  ): PlannedRun['fill'] {
    const { clock, metrics, placed } = this.#parts
    const keepMs = Math.max(this.#options.ttlMs, (request.cache?.keepSeconds ?? 0) * 1_000)
    const fill = {
      swarm: scope.swarm,
      expiresAt: clock.now() + keepMs,
      modelId: served.model.id,
    }
    if (swarm === undefined) return fill
    return {
      ...fill,
      place: block => {
        metrics.blocksCounted('offered-to-swarm', 1)
        placed.place(swarm.blocks, block)
      },
    }
  }

  #audit(
    { served: { engine } }: PrefixAsk,
    { blocks, state }: KnownPrefix,
    swarm: PrefixSwarm | undefined,
    offered: Parameters<PlannedRun['onOffered']>[0],
  ): void {
    if (swarm === undefined) return
    const { reputation } = swarm
    const isIdle = (): boolean => {
      const { running, waiting } = engine.load()
      return running === 0 && waiting === 0
    }
    this.#parts.judge.schedule(offered, { blocks, state, reputation, isIdle })
  }
}
