import type { OperationError } from '../../errors.ts'
import type {
  FinishEvent,
  FinishReason,
  GenerationEvent,
  TextKind,
  TokenLogprob,
} from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import {
  type Candidate,
  Continuation,
  certainDistribution,
  draw,
  hashOf,
  logprobOf,
  textOfToken,
} from './fake-language.ts'
import type { ScriptPart } from './fake-script.ts'
import { bytesOfToken, fakeTokenize, specialTokens } from './fake-tokenizer.ts'
import { StopScanner } from './stop-scanner.ts'

export interface ChoiceInit {
  readonly request: CompletionRequest
  readonly choice: number
  readonly parts: readonly ScriptPart[]
  readonly promptTokens: readonly number[]
  readonly seed: bigint
  readonly maxTokens: number
}

export interface ChoiceTally {
  completionTokens: number
  reasoningTokens: number
}

type Unit =
  | { type: 'token'; kind: TextKind; tokenId: number; distribution: readonly Candidate[] }
  | { type: 'part-end' }
  | { type: 'call'; call: number; name: string }
  | { type: 'argument'; call: number; tokenId: number }
  | { type: 'error'; error: OperationError }

/**
 * Generates one choice: yields the events of one token at a time, so that choices can take turns.
 */
export function* generateChoice(
  init: ChoiceInit,
  tally: ChoiceTally,
): Generator<readonly GenerationEvent[]> {
  const { choice, request } = init
  const text = new TextAssembler(choice, request)
  const tokenIds: number[] = []
  for (const unit of unitsOf(init)) {
    if (unit.type === 'error') throw unit.error
    if (unit.type === 'part-end') {
      const held = text.endPart()
      if (held.length > 0) yield held
      continue
    }
    if (unit.type === 'call') {
      yield [callEvent(init, unit)]
      continue
    }
    if (tokenIds.length === init.maxTokens) {
      yield [...text.endPart(), finish(choice, 'length', tokenIds)]
      return
    }
    tokenIds.push(unit.tokenId)
    tally.completionTokens += 1
    if (unit.type === 'argument') {
      const { token } = textOfToken(unit.tokenId)
      yield [{ type: 'tool-arguments', choice, call: unit.call, text: token }]
      continue
    }
    if (unit.kind === 'reasoning') tally.reasoningTokens += 1
    yield text.push(unit.kind, unit.tokenId, unit.distribution)
    if (text.stop === undefined) continue
    yield [{ ...finish(choice, 'stop', tokenIds), stopSequence: text.stop }]
    return
  }
  const isCall = init.parts.some(part => part.type === 'tool-call')
  yield [finish(choice, isCall ? 'tool_calls' : 'stop', tokenIds)]
}

function finish(choice: number, reason: FinishReason, tokenIds: readonly number[]): FinishEvent {
  return { type: 'finish', choice, reason, tokenIds }
}

/**
 * Call ids depend on nothing but the request, so that a fake answer is the same bytes every time.
 */
function callEvent(init: ChoiceInit, unit: { call: number; name: string }): GenerationEvent {
  const digest = hashOf(`${init.promptTokens.join(',')};${init.choice};${unit.call}`)
  const id = `call_${digest.toString(16).padStart(8, '0')}`
  return { type: 'tool-call', choice: init.choice, call: unit.call, id, name: unit.name }
}

function* unitsOf(init: ChoiceInit): Generator<Unit> {
  let call = 0
  for (const part of init.parts) {
    if (part.type === 'error') yield part
    else if (part.type === 'reply') yield* replyUnits(init)
    else if (part.type === 'tool-call') {
      yield { type: 'call', call, name: part.name }
      for (const tokenId of asciiTokens(part.arguments)) yield { type: 'argument', call, tokenId }
      call += 1
    } else {
      for (const [index, tokenId] of fakeTokenize(part.text, { special: false }).entries()) {
        const distribution = certainDistribution(tokenId, index)
        yield { type: 'token', kind: part.type, tokenId, distribution }
      }
    }
    yield { type: 'part-end' }
  }
}

function* replyUnits(init: ChoiceInit): Generator<Unit> {
  const continuation = new Continuation(init.promptTokens)
  const temperature = init.request.sampling.temperature ?? 1
  for (let position = 0; ; position++) {
    const distribution = continuation.distribution()
    const tokenId = draw(distribution, temperature, init.seed, position)
    if (tokenId === specialTokens.end) return
    continuation.push(tokenId)
    yield { type: 'token', kind: 'text', tokenId, distribution }
  }
}

/**
 * Arguments are shown token by token, so each must be whole characters: JSON can escape the others.
 */
function asciiTokens(json: string): readonly number[] {
  return fakeTokenize(json.replace(/[^\p{ASCII}]/gu, escapeOf), { special: false })
}

function escapeOf(character: string): string {
  return character
    .split('')
    .map(unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}

/** Tokens to text events: whole characters only, and nothing of a stop string. */
class TextAssembler {
  readonly #choice: number
  readonly #topLogprobs: number | undefined
  readonly #stops: readonly string[]
  #decoder = new TextDecoder()
  #scanner: StopScanner
  #kind: TextKind = 'text'
  #pending: TokenLogprob[] = []
  #stop: string | undefined

  constructor(choice: number, request: CompletionRequest) {
    this.#choice = choice
    this.#topLogprobs = request.topLogprobs
    this.#stops = request.stop
    this.#scanner = new StopScanner(this.#stops)
  }

  /** The stop string that was met. */
  get stop(): string | undefined {
    return this.#stop
  }

  push(
    kind: TextKind,
    tokenId: number,
    distribution: readonly Candidate[],
  ): readonly GenerationEvent[] {
    this.#kind = kind
    if (this.#topLogprobs !== undefined && kind === 'text') {
      const top = distribution.slice(0, this.#topLogprobs)
      this.#pending.push({
        ...textOfToken(tokenId),
        logprob: logprobOf(tokenId, distribution),
        top: top.map(({ tokenId, logprob }) => ({ ...textOfToken(tokenId), logprob })),
      })
    }
    const decoded = this.#decoder.decode(bytesOfToken(tokenId), { stream: true })
    if (kind !== 'text') return this.#event(decoded)
    const scanned = this.#scanner.push(decoded)
    this.#stop = scanned.stop
    return this.#event(scanned.text)
  }

  /** Shows what was held back. */
  endPart(): readonly GenerationEvent[] {
    const events = this.#event(this.#scanner.end() + this.#decoder.decode())
    this.#decoder = new TextDecoder()
    this.#scanner = new StopScanner(this.#stops)
    return events
  }

  #event(text: string): readonly GenerationEvent[] {
    if (text === '') return []
    const logprobs = this.#pending
    this.#pending = []
    const base = { type: 'text', choice: this.#choice, kind: this.#kind, text } as const
    return [logprobs.length === 0 ? base : { ...base, logprobs }]
  }
}
