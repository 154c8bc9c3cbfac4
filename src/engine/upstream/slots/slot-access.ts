import { OperationError } from '../../../errors.ts'
import type { PromptAccess, PromptTokens } from '../../../interface/engine.ts'
import type { GenerationEvent, Usage } from '../../../interface/generation.ts'
import type {
  BlockRange,
  BlockRows,
  PrefixUse,
  StateAccess,
  StateOffer,
  StateSink,
} from '../../../interface/kv-state.ts'
import type { Log } from '../../../interface/log.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { blockTokens, layoutName, type StateLayout } from '../../../key/state-layout.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { nextTurn } from '../../../std/turn.ts'
import { measurePrompt } from '../../prompt-marks.ts'
import { cutBlock, joinBlocks, layoutOf } from '../../state-file/state-file.ts'
import type { SlotChoice } from '../wire/encode-request.ts'
import type { SlotFiles } from './slot-files.ts'
import {
  exactTokens,
  isBeginning,
  reusableTokens,
  type SlotContent,
  type SlotLease,
  SlotPool,
  type SlotQuestion,
  unknownContent,
} from './slot-pool.ts'

export interface SlotAccessComponents {
  readonly files: SlotFiles
  readonly log: Log
  /** The prompt's tokens as the server will read them. */
  tokensOf(request: CompletionRequest, signal: AbortSignal): Promise<readonly number[]>
  /** Reads a prompt into a slot and generates nothing. */
  prefill(slot: number, tokenIds: readonly number[], signal: AbortSignal): Promise<void>
  /** Whether the server still runs what it ran when its slots were looked at. */
  isSameServer(signal: AbortSignal): Promise<boolean>
  /** It does not: nothing is exchanged any more. */
  onOtherServer(): void
}

export interface SlotFacts {
  readonly layout: StateLayout
  readonly slots: number
}

export interface SlotRun {
  readonly request: CompletionRequest
  readonly partition: string
  readonly prefix: PrefixUse
  readonly signal: AbortSignal
}

/** What a slot holds when an answer begins, and what of it is told. */
interface Beginning {
  readonly exactTokens: number
  readonly told: { readonly importedTokens?: number; readonly cachedTokens?: number }
}

/**
 * llama-server reads a prompt in chunks of a size that it does not tell, of which the last is
 * shorter; those of fewer than 64 tokens are computed by another kernel (DESIGN §6).
 */
const inexactTokensMax = 63

/** The KV state of a llama-server, through the slots that it saves and restores. */
export class SlotAccess implements PromptAccess, StateAccess {
  readonly layout: StateLayout
  readonly state: StateAccess = this
  readonly #parts: SlotAccessComponents
  readonly #pool: SlotPool
  #isOtherServer = false

  constructor(components: SlotAccessComponents, { layout, slots }: SlotFacts) {
    this.#parts = components
    this.layout = layout
    this.#pool = new SlotPool(slots)
  }

  /** How many requests the server runs at once. */
  get slots(): number {
    return this.#pool.count
  }

  async prompt(request: CompletionRequest, { signal }: AbortOptions): Promise<PromptTokens> {
    return await measurePrompt(variant => this.#parts.tokensOf(variant, signal), request)
  }

  residentTokens(tokenIds: readonly number[], partition: string): number {
    if (this.#isOtherServer) return 0
    const question = { tokenIds, partition }
    const most = Math.max(...this.#pool.contents.map(content => exactTokens(content, question)))
    return most - (most % blockTokens)
  }

  async exportBlocks(
    tokenIds: readonly number[],
    range: BlockRange,
    { partition, signal }: AbortOptions & { readonly partition: string },
  ): Promise<readonly BlockRows[] | undefined> {
    const tokens = range.to * blockTokens
    const lease = this.#pool.leaseHolder({ tokenIds, partition }, tokens)
    if (lease === undefined) return undefined
    let { content } = lease
    try {
      if (!(await this.#isSameServer(signal))) return undefined
      const rows = await this.#cut(lease.id, tokenIds, range, signal)
      if (rows === undefined) content = unknownContent
      return rows
    } finally {
      lease.release(content)
    }
  }

  async recomputeBlock(
    tokenIds: readonly number[],
    before: StateOffer,
    { signal }: AbortOptions,
  ): Promise<BlockRows> {
    const lease = this.#pool.leaseIdle()
    try {
      if (!(await this.#isSameServer(signal))) throw failed('Another llama-server has come')
      await this.#parts.files.erase(lease.id, signal)
      const blocks = tokenIds.length / blockTokens
      await this.#import(lease, tokenIds, before, signal)
      await this.#parts.prefill(lease.id, tokenIds, signal)
      if (!lease.isAlone()) throw failed('llama-server ran something else beside an audit')
      const range = { from: blocks - 1, to: blocks }
      const [rows] = (await this.#cut(lease.id, tokenIds, range, signal)) ?? []
      if (rows === undefined) throw failed('llama-server did not keep the block')
      return rows
    } finally {
      lease.release(unknownContent)
    }
  }

  /**
   * Runs an answer on a slot, when one is free: restores what is offered, and saves what is wanted
   * behind its last event. `generate` is told the slot.
   */
  async *run(
    { request, partition, prefix, signal }: SlotRun,
    generate: (slot: SlotChoice) => AsyncIterable<GenerationEvent>,
  ): AsyncGenerator<GenerationEvent> {
    if (!takesOneSlot(request)) return yield* this.#runAnywhere(generate)
    const question = { tokenIds: prefix.tokenIds, partition }
    const lease = await this.#pool.lease(question, { signal })
    let content = unknownContent
    try {
      if (!(await this.#isSameServer(signal))) return yield* generate('any')
      const before = await this.#prepare(lease, question, { offer: prefix.offer, signal })
      let wasAlone: boolean | undefined
      for await (const event of generate(lease.id)) {
        if (event.type === 'start') {
          yield { ...event, ...before.told }
          continue
        }
        // The prompt has been read.
        wasAlone ??= lease.isAlone()
        if (event.type === 'usage') content = contentAfter(question, before, event.usage, wasAlone)
        yield event
      }
      if (prefix.keep === undefined) return
      if (!(await this.#keep(lease.id, content, prefix.keep, signal))) content = unknownContent
    } finally {
      lease.release(content)
    }
  }

  /** The server puts several choices into slots as it likes, and copies from one to the others. */
  async *#runAnywhere(
    generate: (slot: SlotChoice) => AsyncIterable<GenerationEvent>,
  ): AsyncGenerator<GenerationEvent> {
    this.#pool.forget()
    try {
      yield* generate('any')
    } finally {
      this.#pool.forget()
    }
  }

  async #prepare(
    lease: SlotLease,
    question: SlotQuestion,
    { offer, signal }: AbortOptions & { readonly offer: StateOffer | undefined },
  ): Promise<Beginning> {
    const { tokenIds } = question
    const reusable = reusableTokens(lease.content, question)
    const isEnough = (tokens: number): boolean => isBeginning(tokens, tokens, tokenIds.length)
    let importedTokens = 0
    if (offer !== undefined && offer.tokens > reusable && isEnough(offer.tokens)) {
      importedTokens = await this.#import(lease, tokenIds, offer, signal)
    }
    if (isEnough(importedTokens)) {
      return { exactTokens: importedTokens, told: { importedTokens, cachedTokens: importedTokens } }
    }
    // The server would reuse another tenant's tokens and tell of it by its speed.
    if (reusable === 0 || importedTokens > 0) await this.#parts.files.erase(lease.id, signal)
    return { exactTokens: exactTokens(lease.content, question), told: {} }
  }

  /** How many tokens now lie in the slot. A state that the server does not take is none. */
  async #import(
    lease: SlotLease,
    tokenIds: readonly number[],
    offer: StateOffer,
    signal: AbortSignal,
  ): Promise<number> {
    const blocks: BlockRows[] = []
    for await (const rows of offer.blocks({ signal })) blocks.push(rows)
    signal.throwIfAborted()
    if (blocks.length === 0) return 0
    const tokens = blocks.length * blockTokens
    try {
      const what = { layout: this.layout, tokenIds: tokenIds.slice(0, tokens), blocks }
      const pieces = joinBlocks({ ...what, sequences: this.#pool.count })
      await this.#parts.files.restore(lease.id, pieces, signal)
      return tokens
    } catch (error) {
      signal.throwIfAborted()
      this.#parts.log.warn('slot not restored', { error })
      return 0
    }
  }

  /** Whether the slot held what it was thought to. */
  async #keep(
    slot: number,
    content: SlotContent,
    { range, take }: StateSink,
    signal: AbortSignal,
  ): Promise<boolean> {
    const to = Math.min(range.to, Math.floor(content.exactTokens / blockTokens))
    if (to <= range.from) return true
    try {
      const rows = await this.#cut(slot, content.tokenIds, { from: range.from, to }, signal)
      for (const [offset, block] of (rows ?? []).entries()) take(range.from + offset, block)
      return rows !== undefined
    } catch (error) {
      // The answer is complete: what could not be saved is only not kept.
      if (!signal.aborted) this.#parts.log.warn('slot not saved', { error })
      return false
    }
  }

  /** Undefined when the slot holds other tokens: somebody else has used the server. */
  async #cut(
    slot: number,
    tokenIds: readonly number[],
    { from, to }: BlockRange,
    signal: AbortSignal,
  ): Promise<readonly BlockRows[] | undefined> {
    const state = await this.#parts.files.save(slot, signal)
    const { settings } = this.layout
    if (layoutName(layoutOf(state, settings)) !== layoutName(this.layout)) {
      throw failed('llama-server saved a state of another layout')
    }
    const wanted = tokenIds.slice(0, to * blockTokens)
    if (wanted.some((tokenId, index) => state.tokenIds[index] !== tokenId)) return undefined
    const rows: BlockRows[] = []
    for (let index = from; index < to; index++) {
      rows.push(cutBlock(state, index))
      await nextTurn()
    }
    return rows
  }

  async #isSameServer(signal: AbortSignal): Promise<boolean> {
    if (this.#isOtherServer) return false
    if (await this.#parts.isSameServer(signal)) return true
    if (!this.#isOtherServer) this.#parts.onOtherServer()
    this.#isOtherServer = true
    return false
  }
}

/** Adapters that a request chooses change what its tokens' state is. */
function takesOneSlot({ choiceCount, unknown }: CompletionRequest): boolean {
  return choiceCount === 1 && !('lora' in unknown.fields)
}

/** What a slot holds after an answer. */
function contentAfter(
  { tokenIds, partition }: SlotQuestion,
  before: Beginning,
  usage: Usage,
  wasAlone: boolean,
): SlotContent {
  const { promptTokens, cachedTokens, completionTokens } = usage
  if (promptTokens !== tokenIds.length) return unknownContent
  const held = { partition, tokenIds, heldTokens: promptTokens + completionTokens }
  // The server fills a chunk up with tokens of others, and then computes it in other pieces.
  const isExact = wasAlone && cachedTokens <= before.exactTokens
  const reused = Math.min(cachedTokens, before.exactTokens)
  return {
    ...held,
    exactTokens: isExact ? Math.max(reused, promptTokens - inexactTokensMax) : reused,
  }
}

function failed(message: string): OperationError {
  return new OperationError('engine_failed', message, { origin: 'upstream', retryable: true })
}
