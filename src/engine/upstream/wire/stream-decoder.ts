import type {
  FinishReason,
  GenerationEvent,
  TextKind,
  TokenLogprob,
  Usage,
} from '../../../interface/generation.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { isJsonObject, type Json, type JsonObject } from '../../../std/json.ts'
import { decodeLogprobs } from './decode-logprobs.ts'
import { ToolCallDecoder } from './tool-call-decoder.ts'

/** Bytes of text in a token, roughly: for upstreams that tell no usage. */
const bytesPerToken = 4

interface ChoiceState {
  readonly calls: ToolCallDecoder
  finish?: FinishReason
  stopSequence?: string
}

export interface StreamDecoderInit {
  readonly request: CompletionRequest
  /** An `upstream_failed` that says what the upstream did. */
  readonly fail: (what: string) => Error
}

/**
 * Turns the chunks of a chat or text completion into events, as they come. Finishes are held until
 * the end, since some servers send more of a choice after its finish reason. Knows nothing of HTTP:
 * chunks in, events out.
 */
export class StreamDecoder {
  readonly #request: CompletionRequest
  readonly #fail: (what: string) => Error
  readonly #choices = new Map<number, ChoiceState>()
  #hasStarted = false
  #replyId = ''
  #usage: Usage | undefined
  #cachedTokens: number | undefined
  #textBytes = 0

  constructor(init: StreamDecoderInit) {
    this.#request = init.request
    this.#fail = init.fail
  }

  /** Whether the upstream told what the answer cost. */
  get hasUsage(): boolean {
    return this.#usage !== undefined
  }

  /** Whether every choice that was begun has said why it ended. */
  get isFinished(): boolean {
    const states = [...this.#choices.values()]
    return states.length > 0 && states.every(state => state.finish !== undefined)
  }

  /** One chunk; a whole non-streaming reply does as well. */
  push(chunk: JsonObject): readonly GenerationEvent[] {
    const events: GenerationEvent[] = []
    if (!this.#hasStarted) events.push({ type: 'start' })
    this.#hasStarted = true
    if (typeof chunk['id'] === 'string') this.#replyId = chunk['id']
    this.#takeUsage(chunk)
    const choices = Array.isArray(chunk['choices']) ? chunk['choices'] : []
    for (const value of choices) if (isJsonObject(value)) events.push(...this.#pushChoice(value))
    return events
  }

  /**
   * What ends a complete stream: a finish for every choice, and the usage. @throws when choices are
   * missing
   */
  end(): readonly GenerationEvent[] {
    if (this.#choices.size === 0) throw this.#fail('ended its answer without a choice')
    if (this.#choices.size < this.#request.choiceCount) {
      throw this.#fail(
        `gave ${this.#choices.size} of ${this.#request.choiceCount} choices: it does not know 'n'`,
      )
    }
    const finishes = [...this.#choices].map(([choice, state]): GenerationEvent => {
      const { stopSequence } = state
      const base = { type: 'finish', choice, reason: finishOf(state) } as const
      return stopSequence === undefined ? base : { ...base, stopSequence }
    })
    return [...finishes, { type: 'usage', usage: this.#finalUsage() }]
  }

  #pushChoice(value: JsonObject): readonly GenerationEvent[] {
    const choice = typeof value['index'] === 'number' ? value['index'] : 0
    const state = this.#stateOf(choice)
    // Some servers tell the usage of a choice instead of the reply's.
    this.#takeUsage(value)
    this.#takeFinish(state, value)
    const delta = value['delta'] ?? value['message']
    const events = isJsonObject(delta)
      ? this.#pushDelta(choice, state, delta)
      : this.#textEvents(choice, 'text', value['text'])
    return withLogprobs(events, decodeLogprobs(value['logprobs']), choice)
  }

  #stateOf(choice: number): ChoiceState {
    const known = this.#choices.get(choice)
    if (known !== undefined) return known
    if (!Number.isInteger(choice) || choice < 0 || choice >= this.#request.choiceCount) {
      throw this.#fail('answered a choice that was not asked for')
    }
    const state = { calls: new ToolCallDecoder(choice, this.#fail) }
    this.#choices.set(choice, state)
    return state
  }

  #pushDelta(choice: number, state: ChoiceState, delta: JsonObject): readonly GenerationEvent[] {
    // vLLM and OpenRouter send the same reasoning under both names.
    const reasoning = delta['reasoning_content'] ?? delta['reasoning']
    const { tool_calls: toolCalls, function_call: legacyCall } = delta
    const calls = Array.isArray(toolCalls) ? toolCalls.filter(isJsonObject) : []
    if (isJsonObject(legacyCall)) calls.push({ index: 0, function: legacyCall })
    const callEvents = calls.flatMap(call => state.calls.decode(call, this.#replyId))
    for (const event of callEvents) {
      if (event.type === 'tool-arguments') this.#textBytes += Buffer.byteLength(event.text)
    }
    return [
      ...this.#textEvents(choice, 'reasoning', reasoning),
      ...this.#textEvents(choice, 'text', delta['content']),
      ...this.#textEvents(choice, 'refusal', delta['refusal']),
      ...callEvents,
    ]
  }

  #textEvents(choice: number, kind: TextKind, value: Json | undefined): readonly GenerationEvent[] {
    const text = textOf(value)
    if (text === '') return []
    this.#textBytes += Buffer.byteLength(text)
    return [{ type: 'text', choice, kind, text }]
  }

  #takeFinish(state: ChoiceState, value: JsonObject): void {
    const reason = value['finish_reason']
    if (typeof reason !== 'string' || reason === '') return
    if (reason === 'error' || reason === 'abort') throw this.#fail('gave up in its answer')
    state.finish = finishReasons.get(reason) ?? 'stop'
    // vLLM and llama-server tell the stop string, vLLM a token id as well.
    const stop = value['stop_reason'] ?? value['stopping_word']
    if (typeof stop === 'string' && this.#request.stop.includes(stop)) state.stopSequence = stop
  }

  #takeUsage(holder: JsonObject): void {
    const { usage, timings } = holder
    if (isJsonObject(timings)) this.#cachedTokens = countOf(timings['cache_n'])
    if (!isJsonObject(usage)) return
    const promptTokens = countOf(usage['prompt_tokens'])
    if (promptTokens === undefined) return
    const completionTokens = countOf(usage['completion_tokens']) ?? 0
    const cached = detailOf(usage['prompt_tokens_details'], 'cached_tokens')
    // OpenAI's word, and that of gateways before Anthropic's API.
    const written =
      detailOf(usage['prompt_tokens_details'], 'cache_write_tokens') ??
      countOf(usage['cache_creation_input_tokens'])
    const reasoning = detailOf(usage['completion_tokens_details'], 'reasoning_tokens')
    this.#usage = {
      promptTokens,
      cachedTokens: cached ?? 0,
      ...(written === undefined || written === 0 ? {} : { cacheWriteTokens: written }),
      completionTokens,
      reasoningTokens: Math.min(reasoning ?? 0, completionTokens),
    }
  }

  #finalUsage(): Usage {
    const usage = this.#usage ?? {
      promptTokens: Math.ceil(promptBytes(this.#request) / bytesPerToken),
      cachedTokens: 0,
      completionTokens: Math.ceil(this.#textBytes / bytesPerToken),
      reasoningTokens: 0,
    }
    const cachedTokens = usage.cachedTokens || (this.#cachedTokens ?? 0)
    return { ...usage, cachedTokens: Math.min(cachedTokens, usage.promptTokens) }
  }
}

const finishReasons = new Map<string, FinishReason>([
  ['stop', 'stop'],
  ['length', 'length'],
  ['max_tokens', 'length'],
  ['tool_calls', 'tool_calls'],
  ['function_call', 'tool_calls'],
  ['content_filter', 'content_filter'],
])

/**
 * A choice that called a tool ended for that, whatever its server says: Ollama used to say `stop`.
 */
function finishOf(state: ChoiceState): FinishReason {
  const reason = state.finish ?? 'stop'
  return reason === 'stop' && state.calls.callCount > 0 ? 'tool_calls' : reason
}

/** Log-probabilities belong to the text of their chunk; without text they stand alone. */
function withLogprobs(
  events: readonly GenerationEvent[],
  logprobs: readonly TokenLogprob[],
  choice: number,
): readonly GenerationEvent[] {
  if (logprobs.length === 0) return events
  const index = events.findLastIndex(event => event.type === 'text')
  const event = events[index]
  if (event?.type !== 'text') {
    return [{ type: 'text', choice, kind: 'text', text: '', logprobs }, ...events]
  }
  return events.with(index, { ...event, logprobs })
}

/** A string, or Mistral's list of text parts. */
function textOf(value: Json | undefined): string {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return ''
  return value.map(part => (isJsonObject(part) ? textOf(part['text']) : '')).join('')
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function detailOf(details: unknown, name: string): number | undefined {
  return isJsonObject(details) ? countOf(details[name]) : undefined
}

function promptBytes(request: CompletionRequest): number {
  if (typeof request.prompt === 'string') return Buffer.byteLength(request.prompt)
  if (request.prompt !== undefined) return request.prompt.length * bytesPerToken
  const texts = request.messages.flatMap(message => message.content)
  return texts.reduce(
    (sum, part) => sum + (part.type === 'text' ? Buffer.byteLength(part.text) : 0),
    0,
  )
}
