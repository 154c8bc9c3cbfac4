import { createHash } from 'node:crypto'
import type { GenerationEvent } from '../../../interface/generation.ts'
import { upstreamEventBytesMax, upstreamToolCallsMax } from '../../../limits.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'

interface OpenCall {
  readonly ordinal: number
  readonly index: number
  readonly id: string
  name: string
  /** Arguments that came before the name. */
  held: string
}

/**
 * Puts the tool call deltas of one choice in order. Servers differ: some leave out `index` or `id`,
 * some repeat the id with every piece, some number every call 0 and change the id, some send
 * arguments as an object.
 */
export class ToolCallDecoder {
  readonly #choice: number
  readonly #calls: OpenCall[] = []
  readonly #fail: (what: string) => Error

  constructor(choice: number, fail: (what: string) => Error) {
    this.#choice = choice
    this.#fail = fail
  }

  get callCount(): number {
    return this.#calls.filter(call => call.name !== '').length
  }

  /** `replyId`: of the whole reply; makes ids for calls that came without one. */
  decode(delta: JsonObject, replyId: string): readonly GenerationEvent[] {
    const called = delta['function']
    const named = isJsonObject(called) ? called : {}
    const name = textOf(named['name'])
    const call = this.#callOf(delta, name, replyId)
    const text = argumentsOf(named['arguments'])
    if (call.name !== '') return this.#argumentEvents(call, text)
    call.held += text
    if (call.held.length > upstreamEventBytesMax)
      throw this.#fail('sent a tool call without a name')
    if (name === '') return []
    call.name = name
    const { ordinal, id, held } = call
    call.held = ''
    return [
      { type: 'tool-call', choice: this.#choice, call: ordinal, id, name },
      ...this.#argumentEvents(call, held),
    ]
  }

  #argumentEvents(call: OpenCall, text: string): readonly GenerationEvent[] {
    if (text === '') return []
    return [{ type: 'tool-arguments', choice: this.#choice, call: call.ordinal, text }]
  }

  #callOf(delta: JsonObject, name: string, replyId: string): OpenCall {
    const id = textOf(delta['id'])
    const index = typeof delta['index'] === 'number' ? delta['index'] : undefined
    const known =
      index === undefined && id !== ''
        ? this.#calls.findLast(call => call.id === id)
        : index === undefined
          ? name === ''
            ? this.#calls.at(-1)
            : undefined
          : this.#calls.findLast(call => call.index === index)
    const isOther = known !== undefined && id !== '' && known.id !== id && name !== ''
    if (known !== undefined && !(isOther && known.name !== '')) return known
    return this.#open(index ?? this.#calls.length, id, replyId)
  }

  #open(index: number, id: string, replyId: string): OpenCall {
    const ordinal = this.#calls.length
    if (ordinal >= upstreamToolCallsMax) {
      throw this.#fail(`opened more than ${upstreamToolCallsMax} tool calls`)
    }
    // Ids only link a result to its call, but must differ within a conversation.
    const made = createHash('sha256').update(`${replyId};${this.#choice};${ordinal}`).digest('hex')
    const call = {
      ordinal,
      index,
      id: id === '' ? `call_${made.slice(0, 24)}` : id,
      name: '',
      held: '',
    }
    this.#calls.push(call)
    return call
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function argumentsOf(value: unknown): string {
  return isJsonObject(value) ? JSON.stringify(value) : textOf(value)
}
