import type { OperationError } from '../../../errors.ts'
import type {
  FinishReason,
  GenerationEvent,
  TextEvent,
  TokenLogprob,
  Usage,
} from '../../../interface/generation.ts'
import type { JsonObject } from '../../../std/json.ts'
import { responseDiagnostics } from '../../prompt-cache/diagnostics.ts'
import type { ReplyContext, StreamEncoder } from '../../wire-format.ts'
import { errorObject } from '../errors.ts'
import { keepAliveComment } from './chunk-writer.ts'
import { EventWriter, OpenCallItem, type OpenItem, OpenTextItem } from './response-events.ts'
import { type ItemStatus, statusAtEnd } from './response-items.ts'
import { finishFields, ResponseShell, type ResponseState, startedState } from './responses.ts'
import { responseUsage } from './usage.ts'

/** The named, numbered events of `/v1/responses`. */
export function openStream(context: ReplyContext): StreamEncoder {
  return new ResponsesStream(context)
}

class ResponsesStream implements StreamEncoder {
  readonly contentType = 'text/event-stream; charset=utf-8'
  readonly #context: ReplyContext
  readonly #shell: ResponseShell
  readonly #writer = new EventWriter()
  /** In the order of the output; each stays until the end. */
  readonly #items: OpenItem[] = []
  readonly #open = new Set<OpenItem>()
  /** The items as they were told when they were closed, by output index. */
  readonly #output: JsonObject[] = []
  readonly #calls = new Map<number, OpenCallItem>()
  #text: OpenTextItem | undefined
  /** Told by events without visible text: they go with the next visible text. */
  #pending: TokenLogprob[] = []
  #finish: FinishReason = 'stop'

  constructor(context: ReplyContext) {
    this.#context = context
    this.#shell = new ResponseShell(context)
  }

  encode(event: GenerationEvent): string {
    switch (event.type) {
      case 'start':
        return (
          this.#response('response.created', startedState) +
          this.#response('response.in_progress', startedState)
        )
      case 'text':
        return this.#addText(event)
      case 'tool-call':
        return this.#openCall(event.call, event)
      case 'tool-arguments':
        return this.#calls.get(event.call)?.append(event.text) ?? ''
      case 'finish':
        return this.#close(event.reason)
      case 'usage':
        return this.#end(event.usage)
    }
  }

  end(): string {
    return ''
  }

  /** `error` is what SDKs throw; `response.failed` is what agents wait for. */
  fail(error: OperationError): string {
    const { message, code, param } = errorObject(error)
    const failed: ResponseState = {
      ...startedState,
      status: 'failed',
      error: { code: failureCode(error), message: message ?? error.message },
      output: this.#outputSoFar(),
    }
    return (
      this.#writer.write('error', {
        code: code ?? error.code,
        message: message ?? error.message,
        param: param ?? null,
      }) + this.#response('response.failed', failed)
    )
  }

  keepAlive(): string {
    return keepAliveComment
  }

  #response(type: string, state: ResponseState): string {
    return this.#writer.writeJson(type, `{"response":${this.#shell.encode(state)}}`)
  }

  #addText({ kind, text, logprobs }: TextEvent): string {
    if (logprobs !== undefined) this.#pending.push(...logprobs)
    if (text === '' && !(kind === 'text' && this.#text?.isIn(kind))) return ''
    let before = ''
    let item = this.#text
    if (item === undefined || !item.takes(kind)) {
      item = new OpenTextItem(this.#writer, this.#context.id, this.#items.length, kind)
      before = this.#begin(item)
      this.#text = item
    }
    if (kind !== 'text') return before + item.append(kind, text, [])
    const told = this.#pending
    this.#pending = []
    return before + item.append(kind, text, told)
  }

  #openCall(call: number, { id, name }: { readonly id: string; readonly name: string }): string {
    const item = new OpenCallItem(this.#writer, this.#context.id, this.#items.length, { id, name })
    this.#calls.set(call, item)
    return this.#begin(item)
  }

  /** Closes what is complete before another item begins. */
  #begin(item: OpenItem): string {
    let closed = ''
    for (const other of this.#open) {
      if (other.isComplete()) closed += this.#closeItem(other, 'completed')
    }
    this.#text = undefined
    this.#items.push(item)
    this.#open.add(item)
    return closed + item.open()
  }

  #close(finish: FinishReason): string {
    this.#finish = finish
    let closed = ''
    for (const item of this.#open) {
      const isLast = item.outputIndex === this.#items.length - 1
      closed += this.#closeItem(item, statusAtEnd(isLast, finish))
    }
    return closed
  }

  #closeItem(item: OpenItem, status: ItemStatus): string {
    this.#open.delete(item)
    this.#output[item.outputIndex] = item.object(status)
    return item.close(status)
  }

  #outputSoFar(): readonly JsonObject[] {
    return this.#items.map(item => this.#output[item.outputIndex] ?? item.object('incomplete'))
  }

  #end(usage: Usage): string {
    const state: ResponseState = {
      ...finishFields(this.#finish, this.#context.created),
      output: this.#outputSoFar(),
      usage: responseUsage(usage, this.#context.isHit),
      ...responseDiagnostics(this.#context, usage.cachedTokens),
    }
    return this.#response(`response.${state.status}`, state)
  }
}

/** The API's closed list has three codes that fit. */
function failureCode(error: OperationError): string {
  if (error.code === 'engine_busy') return 'rate_limit_exceeded'
  return error.origin === 'client' ? 'invalid_prompt' : 'server_error'
}
