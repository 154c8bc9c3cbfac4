import { OperationError } from '../../../errors.ts'
import { upstreamRequestsMax } from '../../../limits.ts'
import { assert } from '../../../std/assert.ts'
import { Permits, type Release } from '../../../std/permits.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { commonPrefix } from '../../common-prefix.ts'

/** What a slot of the server holds, as far as this node knows. */
export interface SlotContent {
  /** Whose tokens they are; undefined where anybody's may lie there. */
  readonly partition: string | undefined
  /** Of the prompt. */
  readonly tokenIds: readonly number[]
  /**
   * Leading tokens that were computed in chunks of 64 or more: their state does not depend on what
   * was asked behind them (DESIGN §6, the numerics contract).
   */
  readonly exactTokens: number
  /** All that lie there, those of the answer included. */
  readonly heldTokens: number
}

/** A prompt, and whose it is. */
export interface SlotQuestion {
  readonly tokenIds: readonly number[]
  readonly partition: string
}

export interface SlotLease {
  readonly id: number
  readonly content: SlotContent
  /** Whether no other slot has been lent since this one was. */
  isAlone(): boolean
  /** Gives the slot back with what it holds now. Call once. */
  release(content: SlotContent): void
}

/** As long as nobody has looked, or after something went wrong. */
export const unknownContent: SlotContent = {
  partition: undefined,
  tokenIds: [],
  exactTokens: 0,
  heldTokens: Number.POSITIVE_INFINITY,
}

/**
 * The slots of one llama-server, lent first come first served: the idle one that saves a prompt
 * most, else the one unused longest. Others may use the server too: what a slot holds is a guess,
 * and the server itself compares tokens before it reuses any.
 */
export class SlotPool {
  readonly #permits: Permits
  readonly #contents: SlotContent[]
  /** Unused longest first. */
  #idle: number[]
  /** How often a slot was lent, and how often all was forgotten. */
  #lent = 0
  #forgotten = 0

  constructor(count: number) {
    this.#permits = new Permits(count, upstreamRequestsMax)
    this.#contents = Array.from({ length: count }, () => unknownContent)
    this.#idle = Array.from({ length: count }, (_, id) => id)
  }

  get count(): number {
    return this.#contents.length
  }

  get contents(): readonly SlotContent[] {
    return this.#contents
  }

  /** @throws engine_busy when too many wait; the signal's reason */
  async lease(question: SlotQuestion, options: AbortOptions): Promise<SlotLease> {
    const release = await this.#permits.acquire(options)
    if (release === undefined) throw slotsBusy()
    return this.#lend(this.#bestFor(question), release)
  }

  /** The slot unused longest. @throws engine_busy when all are lent */
  leaseIdle(): SlotLease {
    const release = this.#permits.tryAcquire()
    const [id] = this.#idle
    if (release === undefined || id === undefined) throw slotsBusy()
    return this.#lend(id, release)
  }

  /** An idle slot that holds at least so many exact tokens of a prompt. */
  leaseHolder(question: SlotQuestion, tokens: number): SlotLease | undefined {
    const id = this.#idle.find(idle => exactTokens(this.#contentOf(idle), question) >= tokens)
    const release = id === undefined ? undefined : this.#permits.tryAcquire()
    return id === undefined || release === undefined ? undefined : this.#lend(id, release)
  }

  /** Somebody may have written to any slot, those that are lent included. */
  forget(): void {
    this.#forgotten += 1
    this.#contents.fill(unknownContent)
  }

  #bestFor(question: SlotQuestion): number {
    const reuse = (id: number): number => reusableTokens(this.#contentOf(id), question)
    const [first, ...others] = this.#idle
    assert(first !== undefined, 'Who has a permit finds an idle slot')
    return others.reduce((best, id) => (reuse(id) > reuse(best) ? id : best), first)
  }

  #lend(id: number, releasePermit: Release): SlotLease {
    const isFirst = this.#idle.length === this.count
    this.#idle = this.#idle.filter(idle => idle !== id)
    this.#lent += 1
    const [lent, forgotten] = [this.#lent, this.#forgotten]
    let isLent = true
    const release = (content: SlotContent): void => {
      assert(isLent, 'A slot is given back once')
      isLent = false
      this.#contents[id] = forgotten === this.#forgotten ? content : unknownContent
      this.#idle.push(id)
      releasePermit()
    }
    const isAlone = (): boolean => isFirst && lent === this.#lent && forgotten === this.#forgotten
    return { id, content: this.#contentOf(id), isAlone, release }
  }

  #contentOf(id: number): SlotContent {
    return this.#contents[id] ?? unknownContent
  }
}

/**
 * Leading tokens of a prompt that it can go on from in a slot: none in one of another partition.
 */
export function reusableTokens(
  { partition, tokenIds, heldTokens }: SlotContent,
  question: SlotQuestion,
): number {
  if (partition !== question.partition) return 0
  const shared = commonPrefix(tokenIds, question.tokenIds)
  return isBeginning(shared, heldTokens, question.tokenIds.length) ? shared : 0
}

/**
 * Whether the server begins from the tokens that a slot shares with a prompt. Where they are less
 * than half of what the slot holds, or less than a tenth of the prompt (an eighth, to be sure), it
 * looks for a better beginning in a cache of its own (`--cache-ram`), which all partitions share
 * (`get_available_slot` in llama.cpp's tools/server/server-context.cpp). An empty slot is left
 * alone.
 */
export function isBeginning(shared: number, heldTokens: number, promptTokens: number): boolean {
  return 2 * shared > heldTokens && 8 * shared >= promptTokens
}

/** Of those, the leading ones whose state does not depend on what was asked behind them. */
export function exactTokens(content: SlotContent, question: SlotQuestion): number {
  return Math.min(reusableTokens(content, question), content.exactTokens)
}

function slotsBusy(): OperationError {
  return new OperationError('engine_busy', 'All slots of llama-server are busy', {
    origin: 'upstream',
    retryable: true,
    retryAfterMs: 1_000,
  })
}
