import type { TextKind, TokenLogprob } from '../../../interface/generation.ts'
import type { ToolCall } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import {
  callItemObject,
  type ItemStatus,
  itemId,
  itemKindOf,
  partObject,
  type TextItem,
  type TextPart,
  textItemObject,
} from './response-items.ts'
import { logprobObjects } from './usage.ts'

/** Numbers the named events of one stream. */
export class EventWriter {
  #sequence = 0

  /** `fields` must not be empty. */
  write(type: string, fields: JsonObject): string {
    return this.writeJson(type, JSON.stringify(fields))
  }

  /** As `write`, for an object that is JSON already. */
  writeJson(type: string, fields: string): string {
    const sequence = this.#sequence
    this.#sequence += 1
    const head = `event: ${type}\ndata: {"type":"${type}","sequence_number":${sequence}`
    return `${head},${fields.slice(1)}\n\n`
  }
}

const eventNames: { readonly [kind in TextKind]: string } = {
  text: 'response.output_text',
  reasoning: 'response.reasoning_text',
  refusal: 'response.refusal',
}

/** An output item while it grows, telling its events. */
export interface OpenItem {
  readonly outputIndex: number
  /** Whether nothing more can come: then it is closed as soon as another item begins. */
  isComplete(): boolean
  open(): string
  close(status: ItemStatus): string
  object(status: ItemStatus): JsonObject
}

/** A message or reasoning item. Another kind of text in the same message begins another part. */
export class OpenTextItem implements OpenItem {
  readonly outputIndex: number
  readonly #writer: EventWriter
  readonly #item: TextItem
  readonly #id: string

  constructor(writer: EventWriter, responseId: string, outputIndex: number, type: TextKind) {
    const kind = itemKindOf(type)
    this.outputIndex = outputIndex
    this.#writer = writer
    this.#item = { kind, parts: [] }
    this.#id = itemId(kind, responseId, outputIndex)
  }

  takes(type: TextKind): boolean {
    return itemKindOf(type) === this.#item.kind
  }

  /** Whether text of this kind goes on in the part that is open now. */
  isIn(type: TextKind): boolean {
    return this.#item.parts.at(-1)?.type === type
  }

  isComplete(): boolean {
    return true
  }

  open(): string {
    return this.#writer.write('response.output_item.added', {
      output_index: this.outputIndex,
      item: this.object('in_progress'),
    })
  }

  append(type: TextKind, text: string, logprobs: readonly TokenLogprob[]): string {
    const last = this.#item.parts.at(-1)
    const isNew = last?.type !== type
    const part: TextPart = last && !isNew ? last : { type, pieces: [], logprobs: [] }
    const before = isNew ? this.#closePart(last) + this.#openPart(part) : ''
    part.pieces.push(text)
    part.logprobs.push(...logprobs)
    return (
      before +
      this.#writer.write(`${eventNames[type]}.delta`, {
        ...this.#place(),
        delta: text,
        ...(type === 'text' ? { logprobs: logprobObjects(logprobs) } : {}),
      })
    )
  }

  close(status: ItemStatus): string {
    return (
      this.#closePart(this.#item.parts.at(-1)) +
      this.#writer.write('response.output_item.done', {
        output_index: this.outputIndex,
        item: this.object(status),
      })
    )
  }

  object(status: ItemStatus): JsonObject {
    return textItemObject(this.#item, this.#id, status)
  }

  #openPart(part: TextPart): string {
    this.#item.parts.push(part)
    const fields = { ...this.#place(), part: partObject(part) }
    return this.#writer.write('response.content_part.added', fields)
  }

  #closePart(part: TextPart | undefined): string {
    if (part === undefined) return ''
    const { type: _, annotations: __, ...told } = partObject(part)
    const place = this.#place()
    return (
      this.#writer.write(`${eventNames[part.type]}.done`, { ...place, ...told }) +
      this.#writer.write('response.content_part.done', { ...place, part: partObject(part) })
    )
  }

  /** Of the last part. */
  #place(): JsonObject {
    return {
      item_id: this.#id,
      output_index: this.outputIndex,
      content_index: this.#item.parts.length - 1,
    }
  }
}

/** A function call whose arguments arrive in pieces. */
export class OpenCallItem implements OpenItem {
  readonly outputIndex: number
  readonly #writer: EventWriter
  readonly #id: string
  readonly #callId: string
  readonly #name: string
  readonly #pieces: string[] = []

  constructor(
    writer: EventWriter,
    responseId: string,
    outputIndex: number,
    call: Pick<ToolCall, 'id' | 'name'>,
  ) {
    this.outputIndex = outputIndex
    this.#writer = writer
    this.#id = itemId('call', responseId, outputIndex)
    this.#callId = call.id
    this.#name = call.name
  }

  /**
   * Nothing can follow a whole JSON object. An upstream may send the arguments of several calls by
   * turns.
   */
  isComplete(): boolean {
    const text = this.#pieces.join('')
    if (!text.trimEnd().endsWith('}')) return false
    try {
      JSON.parse(text)
      return true
    } catch (error) {
      if (error instanceof SyntaxError) return false
      throw error
    }
  }

  open(): string {
    return this.#writer.write('response.output_item.added', {
      output_index: this.outputIndex,
      item: this.object('in_progress'),
    })
  }

  append(text: string): string {
    this.#pieces.push(text)
    return this.#writer.write('response.function_call_arguments.delta', {
      item_id: this.#id,
      output_index: this.outputIndex,
      delta: text,
    })
  }

  close(status: ItemStatus): string {
    const item = this.object(status)
    return (
      this.#writer.write('response.function_call_arguments.done', {
        item_id: this.#id,
        output_index: this.outputIndex,
        name: this.#name,
        arguments: this.#pieces.join(''),
      }) + this.#writer.write('response.output_item.done', { output_index: this.outputIndex, item })
    )
  }

  object(status: ItemStatus): JsonObject {
    const call = { id: this.#callId, name: this.#name, arguments: this.#pieces.join('') }
    return callItemObject(call, this.#id, status)
  }
}
