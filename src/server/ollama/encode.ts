import type { OperationError } from '../../errors.ts'
import type {
  Choice,
  Completion,
  FinishEvent,
  FinishReason,
  GenerationEvent,
  TextEvent,
  TokenLogprob,
  Usage,
} from '../../interface/generation.ts'
import type { ToolCall } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { toolInput } from '../tool-input.ts'
import type { ReplyContext, StreamEncoder, WireFormat } from '../wire-format.ts'
import { encodeError } from './errors.ts'

/**
 * What one line of a reply says of the answer. Ollama has one text and one thinking field, whatever
 * their order was.
 */
export interface AnswerPiece {
  readonly text: string
  readonly thinking: string
  readonly toolCalls: readonly JsonObject[]
}

/** Where the two endpoints differ: `message: { content … }` or `response`. */
export type PieceForm = (piece: AnswerPiece) => JsonObject

const nothing: AnswerPiece = { text: '', thinking: '', toolCalls: [] }

/** The encoders of an endpoint that puts its pieces into this form. */
export function encodersOf(form: PieceForm): Pick<WireFormat, 'encodeReply' | 'openStream'> {
  return {
    encodeReply: (completion, context) => encodeReply(completion, context, form),
    openStream: context => new LineEncoder(context, form),
  }
}

function encodeReply(completion: Completion, context: ReplyContext, form: PieceForm): string {
  const [choice] = completion.choices
  if (choice === undefined) throw new TypeError('A completion has at least one choice')
  return JSON.stringify({
    ...lineHead(context),
    ...form(pieceOf(choice)),
    ...finalFields(choice.finish, completion.usage),
    ...logprobFields(choice.logprobs),
  })
}

function pieceOf({ parts }: Choice): AnswerPiece {
  const thinking = parts.map(part => (part.type === 'reasoning' ? part.text : ''))
  const text = parts.map(part => (part.type === 'text' || part.type === 'refusal' ? part.text : ''))
  return {
    text: text.join(''),
    thinking: thinking.join(''),
    toolCalls: parts.filter(part => part.type === 'tool-call').map(toolCallFields),
  }
}

function toolCallFields(call: ToolCall, index: number): JsonObject {
  const fields = { index, name: call.name, arguments: toolInput(call.arguments) }
  return { id: call.id, function: fields }
}

function lineHead(context: ReplyContext): JsonObject {
  return {
    model: context.parsed.request.model,
    created_at: new Date(context.created * 1_000).toISOString(),
  }
}

function finalFields(reason: FinishReason, usage: Usage): JsonObject {
  return {
    done: true,
    // Ollama ends calls with `stop`, too: clients look at `tool_calls`.
    done_reason: reason === 'tool_calls' ? 'stop' : reason,
    // A replay must have the bytes of the original, and no encoder has a clock: 0 stands for "not
    // measured".
    total_duration: 0,
    load_duration: 0,
    // Ollama counts the whole prompt, however much of it was in its cache, and has no field for
    // how much that was.
    prompt_eval_count: usage.promptTokens,
    prompt_eval_duration: 0,
    eval_count: usage.completionTokens,
    eval_duration: 0,
  }
}

function logprobFields(logprobs: readonly TokenLogprob[] | undefined): JsonObject {
  if (logprobs === undefined || logprobs.length === 0) return {}
  return {
    logprobs: logprobs.map(({ token, bytes, logprob, top }) => ({
      token,
      bytes,
      logprob,
      ...(top.length === 0 ? {} : { top_logprobs: top.map(one => ({ ...one })) }),
    })),
  }
}

/** One JSON object per line; the last one has `done: true` and the counts. */
class LineEncoder implements StreamEncoder {
  readonly contentType = 'application/x-ndjson'
  readonly #context: ReplyContext
  readonly #form: PieceForm
  readonly #calls = new Map<number, { id: string; name: string; pieces: string[] }>()
  #finish: FinishEvent | undefined

  constructor(context: ReplyContext, form: PieceForm) {
    this.#context = context
    this.#form = form
  }

  encode(event: GenerationEvent): string {
    switch (event.type) {
      case 'start':
        return ''
      case 'text':
        return this.#text(event)
      case 'tool-call':
        this.#calls.set(event.call, { id: event.id, name: event.name, pieces: [] })
        return ''
      case 'tool-arguments':
        this.#addArguments(event.call, event.text)
        return ''
      case 'finish':
        this.#finish = event
        return this.#toolCalls()
      case 'usage':
        return this.#line(nothing, finalFields(this.#finish?.reason ?? 'stop', event.usage))
    }
  }

  /** The `usage` event wrote the last line. */
  end(): string {
    return ''
  }

  fail(error: OperationError): string {
    return `${encodeError(error)}\n`
  }

  /**
   * Nothing: Ollama's own client warns of lines that are no JSON, and any object would be an
   * answer's piece.
   */
  keepAlive(): string {
    return ''
  }

  #text({ kind, text, logprobs }: TextEvent): string {
    const extra = logprobFields(logprobs)
    if (text === '' && Object.keys(extra).length === 0) return ''
    const piece = kind === 'reasoning' ? { thinking: text } : { text }
    return this.#line({ ...nothing, ...piece }, { done: false, ...extra })
  }

  #addArguments(call: number, text: string): void {
    const open = this.#calls.get(call)
    if (open === undefined) {
      throw new RangeError(`Arguments came for tool call ${call}, which did not begin`)
    }
    open.pieces.push(text)
  }

  /**
   * Arguments are objects here, so a call is told when it is whole; upstreams may write several in
   * turns.
   */
  #toolCalls(): string {
    if (this.#calls.size === 0) return ''
    const toolCalls = [...this.#calls.values()].map(({ id, name, pieces }, index) =>
      toolCallFields({ id, name, arguments: pieces.join('') }, index),
    )
    return this.#line({ ...nothing, toolCalls }, { done: false })
  }

  #line(piece: AnswerPiece, fields: JsonObject): string {
    return `${JSON.stringify({ ...lineHead(this.#context), ...this.#form(piece), ...fields })}\n`
  }
}
