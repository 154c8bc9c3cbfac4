import type { OperationError } from '../../../errors.ts'
import type {
  Choice,
  ChoicePart,
  Completion,
  FinishReason,
  GenerationEvent,
  TextEvent,
  TextKind,
} from '../../../interface/generation.ts'
import type { Json, JsonObject } from '../../../std/json.ts'
import type { ReplyContext, StreamEncoder } from '../../wire-format.ts'
import { readChatVariant } from '../variant.ts'
import { ChunkWriter, keepAliveComment, systemFingerprint } from './chunk-writer.ts'
import { choiceText, logprobObjects, usageObject } from './usage.ts'

const idPrefix = 'chatcmpl-'

/** A `chat.completion` object. */
export function encodeReply(completion: Completion, context: ReplyContext): string {
  const { request, variant } = context.parsed
  const { isLegacy } = readChatVariant(variant)
  return JSON.stringify({
    id: idPrefix + context.id,
    object: 'chat.completion',
    created: context.created,
    model: request.model,
    choices: completion.choices.map((choice, index) => ({
      index,
      message: replyMessage(choice, isLegacy),
      logprobs: logprobsOf(choice.logprobs),
      finish_reason: finishReason(choice.finish, isLegacy),
    })),
    usage: usageObject(completion.usage, context.isHit),
    system_fingerprint: systemFingerprint,
  })
}

function replyMessage(choice: Choice, isLegacy: boolean): JsonObject {
  const calls = choice.parts.filter(part => part.type === 'tool-call')
  const has = (kind: TextKind): boolean => choice.parts.some(part => part.type === kind)
  const isCallOrRefusal = calls.length > 0 || has('refusal')
  return {
    role: 'assistant',
    content: isCallOrRefusal && !has('text') ? null : choiceText(choice, 'text'),
    refusal: has('refusal') ? choiceText(choice, 'refusal') : null,
    ...(has('reasoning') ? { reasoning_content: choiceText(choice, 'reasoning') } : {}),
    annotations: [],
    ...(calls.length === 0 ? {} : replyCalls(calls, isLegacy)),
  }
}

type CallPart = Extract<ChoicePart, { type: 'tool-call' }>

function replyCalls(calls: readonly CallPart[], isLegacy: boolean): JsonObject {
  const [first] = calls
  // The legacy form has room for one call.
  if (isLegacy && first !== undefined) {
    return { function_call: { name: first.name, arguments: first.arguments } }
  }
  return {
    tool_calls: calls.map(({ id, name, arguments: text }) => ({
      id,
      type: 'function',
      function: { name, arguments: text },
    })),
  }
}

function logprobsOf(logprobs: Choice['logprobs']): Json {
  if (logprobs === undefined || logprobs.length === 0) return null
  return { content: logprobObjects(logprobs), refusal: null }
}

function finishReason(reason: FinishReason, isLegacy: boolean): string {
  return isLegacy && reason === 'tool_calls' ? 'function_call' : reason
}

/** A stream of `chat.completion.chunk` objects. */
export function openStream(context: ReplyContext): StreamEncoder {
  return new ChatStream(context)
}

const deltaField: { readonly [kind in TextKind]: string } = {
  text: '{"content":',
  reasoning: '{"reasoning_content":',
  refusal: '{"refusal":',
}

class ChatStream implements StreamEncoder {
  readonly contentType = 'text/event-stream; charset=utf-8'
  readonly #writer: ChunkWriter
  readonly #choiceCount: number
  readonly #isLegacy: boolean

  constructor(context: ReplyContext) {
    this.#writer = new ChunkWriter(context, idPrefix, 'chat.completion.chunk')
    this.#choiceCount = context.parsed.request.choiceCount
    this.#isLegacy = readChatVariant(context.parsed.variant).isLegacy
  }

  encode(event: GenerationEvent): string {
    switch (event.type) {
      case 'start':
        return this.#start()
      case 'text':
        return this.#text(event)
      case 'tool-call': {
        const { call, id, name } = event
        const tool = { index: call, id, type: 'function', function: { name, arguments: '' } }
        return this.#call(event.choice, call, tool)
      }
      case 'tool-arguments': {
        const tool = { index: event.call, function: { arguments: event.text } }
        return this.#call(event.choice, event.call, tool)
      }
      case 'finish':
        return this.#chunk(event.choice, '{}', finishReason(event.reason, this.#isLegacy))
      case 'usage':
        return this.#writer.usage(event.usage)
    }
  }

  end(): string {
    return this.#writer.end()
  }

  fail(error: OperationError): string {
    return this.#writer.fail(error)
  }

  keepAlive(): string {
    return keepAliveComment
  }

  #start(): string {
    let text = ''
    for (let choice = 0; choice < this.#choiceCount; choice += 1) {
      text += this.#chunk(choice, '{"role":"assistant","content":""}')
    }
    return text
  }

  #text({ choice, kind, text, logprobs }: TextEvent): string {
    const delta = `${deltaField[kind]}${JSON.stringify(text)}}`
    if (logprobs === undefined) return text === '' ? '' : this.#chunk(choice, delta)
    const told = JSON.stringify(logprobsOf(logprobs))
    return this.#writer.chunk(
      `{"index":${choice},"delta":${delta},"logprobs":${told},"finish_reason":null}`,
    )
  }

  #call(choice: number, call: number, tool: JsonObject): string {
    if (!this.#isLegacy) {
      return this.#chunk(choice, JSON.stringify({ tool_calls: [tool] }))
    }
    // The legacy form has room for one call.
    return call === 0
      ? this.#chunk(choice, JSON.stringify({ function_call: tool['function'] }))
      : ''
  }

  #chunk(choice: number, delta: string, finish?: string): string {
    const reason = finish === undefined ? 'null' : `"${finish}"`
    return this.#writer.chunk(
      `{"index":${choice},"delta":${delta},"logprobs":null,"finish_reason":${reason}}`,
    )
  }
}
