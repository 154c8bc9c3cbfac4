import { createHash } from 'node:crypto'
import type { GeneratedToken } from '../../../interface/engine.ts'
import type { FinishReason, GenerationEvent, TokenLogprob } from '../../../interface/generation.ts'
import { OutputParser, type OutputParserOptions, type OutputPart } from './output-parser.ts'
import { StopStrings } from './stop-strings.ts'
import type { TokenBytes } from './token-bytes.ts'

export interface AnswerEventsOptions extends OutputParserOptions {
  readonly choice: number
  /** Decides the ids of tool calls. */
  readonly seed: bigint
  readonly stop: readonly string[]
}

/** Control tokens that mark a part of the answer; all others are no text. */
const visibleControls = new Set([
  '<think>',
  '</think>',
  '<tool_call>',
  '</tool_call>',
  '<|python_tag|>',
])

/** Turns the tokens of one choice into events: bytes → characters → stop strings → parts. Pure. */
export class AnswerEvents {
  readonly #tokenBytes: TokenBytes
  readonly #options: AnswerEventsOptions
  readonly #characters = new TextDecoder('utf-8', { ignoreBOM: true })
  readonly #stops: StopStrings
  readonly #parser: OutputParser
  readonly #tokenIds: number[] = []
  /** Log-probabilities of tokens whose text is not shown yet, with where their text ends. */
  readonly #untold: { readonly logprob: TokenLogprob; readonly end: number }[] = []
  #readLetters = 0
  #shownLetters = 0
  #callCount = 0
  #reasoningTokens = 0
  #stopSequence: string | undefined

  constructor(tokenBytes: TokenBytes, options: AnswerEventsOptions) {
    this.#tokenBytes = tokenBytes
    this.#options = options
    this.#stops = new StopStrings(options.stop)
    this.#parser = new OutputParser(options)
  }

  /** Whether a stop string was met: the choice must be finished then. */
  get isStopped(): boolean {
    return this.#stopSequence !== undefined
  }

  get reasoningTokens(): number {
    return this.#reasoningTokens
  }

  push(token: GeneratedToken): readonly GenerationEvent[] {
    this.#tokenIds.push(token.tokenId)
    const wasReasoning = this.#parser.isReasoning
    const text = this.#characters.decode(this.#visibleBytes(token.tokenId), { stream: true })
    this.#readLetters += text.length
    if (token.logprob !== undefined) {
      this.#untold.push({ logprob: this.#logprobOf(token), end: this.#readLetters })
    }
    const scan = this.#stops.push(text)
    this.#stopSequence = scan.stopSequence
    const events = this.#show(scan.text, this.#parser.push(scan.text))
    if (wasReasoning || this.#parser.isReasoning) this.#reasoningTokens += 1
    return events
  }

  /** The last events of the choice, `finish` included. */
  finish(reason: 'stop' | 'length'): readonly GenerationEvent[] {
    const rest = this.isStopped ? '' : this.#stops.end() + this.#characters.decode()
    const parts = [...this.#parser.push(rest), ...this.#parser.end()]
    if (!this.isStopped) this.#shownLetters = Number.POSITIVE_INFINITY
    const events = this.#show(rest, parts)
    const finishReason: FinishReason =
      reason === 'stop' && this.#callCount > 0 ? 'tool_calls' : reason
    const stopSequence = this.#stopSequence
    return [
      ...events,
      {
        type: 'finish',
        choice: this.#options.choice,
        reason: finishReason,
        ...(stopSequence === undefined ? {} : { stopSequence }),
        tokenIds: this.#tokenIds,
      },
    ]
  }

  #show(text: string, parts: readonly OutputPart[]): readonly GenerationEvent[] {
    this.#shownLetters += text.length
    const logprobs = this.#takeTold()
    const events = parts.flatMap(part => this.#eventsOf(part))
    if (logprobs.length === 0) return events
    const index = events.findIndex(event => event.type === 'text')
    const carrier = events[index]
    if (carrier?.type === 'text') return events.with(index, { ...carrier, logprobs })
    const kind = this.#parser.isReasoning ? 'reasoning' : 'text'
    return [{ type: 'text', choice: this.#options.choice, kind, text: '', logprobs }, ...events]
  }

  #eventsOf(part: OutputPart): readonly GenerationEvent[] {
    const { choice } = this.#options
    if (part.type !== 'tool-call')
      return [{ type: 'text', choice, kind: part.type, text: part.text }]
    const call = this.#callCount
    this.#callCount += 1
    return [
      { type: 'tool-call', choice, call, id: this.#callId(call), name: part.name },
      { type: 'tool-arguments', choice, call, text: part.arguments },
    ]
  }

  #callId(call: number): string {
    const { seed, choice } = this.#options
    const digest = createHash('sha256').update(`${seed}/${choice}/${call}`).digest('hex')
    return `call_${digest.slice(0, 24)}`
  }

  #takeTold(): readonly TokenLogprob[] {
    const count = this.#untold.findIndex(({ end }) => end > this.#shownLetters)
    const told = this.#untold.splice(0, count === -1 ? this.#untold.length : count)
    return told.map(({ logprob }) => logprob)
  }

  #visibleBytes(tokenId: number): Uint8Array {
    const bytes = this.#tokenBytes.bytesOf(tokenId)
    if (!this.#tokenBytes.isControl(tokenId)) return bytes
    return visibleControls.has(new TextDecoder().decode(bytes)) ? bytes : new Uint8Array()
  }

  #logprobOf({ tokenId, logprob, top }: GeneratedToken): TokenLogprob {
    const spell = (id: number): { token: string; bytes: readonly number[] } => {
      const bytes = this.#tokenBytes.bytesOf(id)
      return {
        token: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes),
        bytes: [...bytes],
      }
    }
    return {
      ...spell(tokenId),
      logprob: logprob ?? 0,
      top: (top ?? []).map(entry => ({ ...spell(entry.tokenId), logprob: entry.logprob })),
    }
  }
}
