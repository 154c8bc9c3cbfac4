import type { OperationError } from '../../errors.ts'
import type {
  FinishEvent,
  GenerationEvent,
  StartEvent,
  TextEvent,
  ToolCallEvent,
  Usage,
} from '../../interface/generation.ts'
import type { JsonObject } from '../../std/json.ts'
import { httpStatusOf } from '../http-status.ts'
import { messageDiagnostics } from '../prompt-cache/diagnostics.ts'
import type { ReplyContext, StreamEncoder } from '../wire-format.ts'
import {
  messageHead,
  messageUsage,
  stopFields,
  thinkingOmitted,
  usageFields,
} from './encode-reply.ts'
import { encodeError } from './errors.ts'

export function openStream(context: ReplyContext): StreamEncoder {
  return new MessageStreamEncoder(context)
}

interface OpenBlock {
  readonly index: number
  readonly type: 'text' | 'thinking' | 'tool_use'
}

/**
 * Named events from `message_start` to `message_stop`. Content blocks follow one another: a block
 * is closed when the next one begins, or at the end.
 */
class MessageStreamEncoder implements StreamEncoder {
  readonly contentType = 'text/event-stream; charset=utf-8'
  readonly #context: ReplyContext
  readonly #indexOfCall = new Map<number, number>()
  #open: OpenBlock | undefined
  #blockCount = 0
  #hasRefusal = false
  #finish: FinishEvent | undefined

  constructor(context: ReplyContext) {
    this.#context = context
  }

  encode(event: GenerationEvent): string {
    switch (event.type) {
      case 'start':
        return this.#start(event)
      case 'text':
        return this.#text(event)
      case 'tool-call':
        return this.#toolCall(event)
      case 'tool-arguments':
        return this.#toolArguments(event.call, event.text)
      case 'finish':
        this.#finish = event
        return this.#closeBlock()
      case 'usage':
        return this.#messageDelta(event.usage)
    }
  }

  end(): string {
    return sse('message_stop', {})
  }

  fail(error: OperationError, requestId: string): string {
    return `event: error\ndata: ${encodeError(error, httpStatusOf(error), requestId)}\n\n`
  }

  keepAlive(): string {
    return sse('ping', {})
  }

  #start(event: StartEvent): string {
    // Engines that learn the prompt's size only at the end leave zeros here, and what is written
    // to the cache is known at the end only; `message_delta` has the true numbers.
    const usage = {
      promptTokens: event.promptTokens ?? 0,
      cachedTokens: event.cachedTokens ?? 0,
      completionTokens: 0,
      reasoningTokens: 0,
    }
    return sse('message_start', {
      message: {
        ...messageHead(this.#context),
        diagnostics: messageDiagnostics(this.#context, event.cachedTokens),
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: this.#context.isHit
          ? messageUsage(usage, this.#context)
          : { ...usageFields(usage, false), cache_creation: null },
      },
    })
  }

  #text({ kind, text }: TextEvent): string {
    // Empty text carries only log-probabilities, which this API does not have.
    if (text === '') return ''
    if (kind === 'refusal') this.#hasRefusal = true
    if (kind !== 'reasoning') {
      const opening = this.#openBlock('text', { type: 'text', text: '' })
      return opening + this.#delta({ type: 'text_delta', text })
    }
    if (this.#context.parsed.variant === thinkingOmitted) return ''
    const opening = this.#openBlock('thinking', { type: 'thinking', thinking: '', signature: '' })
    return opening + this.#delta({ type: 'thinking_delta', thinking: text })
  }

  #toolCall(event: ToolCallEvent): string {
    this.#indexOfCall.set(event.call, this.#blockCount)
    const block = { type: 'tool_use', id: event.id, name: event.name, input: {} }
    return this.#closeBlock() + this.#openBlock('tool_use', block)
  }

  #toolArguments(call: number, text: string): string {
    const index = this.#indexOfCall.get(call)
    if (index === undefined) {
      throw new RangeError(`Arguments came for tool call ${call}, which did not begin`)
    }
    if (text === '') return ''
    // An upstream may write two calls in turns; the index still says which block a late piece
    // belongs to.
    const delta = { type: 'input_json_delta', partial_json: text }
    return sse('content_block_delta', { index, delta })
  }

  #messageDelta(usage: Usage): string {
    const finish = this.#finish
    const delta = stopFields({
      reason: finish?.reason ?? 'stop',
      stopSequence: finish?.stopSequence,
      hasToolCalls: this.#indexOfCall.size > 0,
      hasRefusal: this.#hasRefusal,
    })
    return sse('message_delta', { delta, usage: usageFields(usage, this.#context.isHit) })
  }

  /** Opens a block of this type, unless one is open that goes on. */
  #openBlock(type: OpenBlock['type'], block: JsonObject): string {
    if (this.#open?.type === type) return ''
    const closing = this.#closeBlock()
    this.#open = { index: this.#blockCount, type }
    this.#blockCount += 1
    return closing + sse('content_block_start', { index: this.#open.index, content_block: block })
  }

  #delta(delta: JsonObject): string {
    return sse('content_block_delta', { index: this.#open?.index ?? 0, delta })
  }

  #closeBlock(): string {
    if (this.#open === undefined) return ''
    const { index, type } = this.#open
    this.#open = undefined
    const signature =
      type === 'thinking'
        ? sse('content_block_delta', { index, delta: { type: 'signature_delta', signature: '' } })
        : ''
    return signature + sse('content_block_stop', { index })
  }
}

function sse(type: string, fields: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}
