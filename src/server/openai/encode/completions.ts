import type { OperationError } from '../../../errors.ts'
import type {
  Choice,
  Completion,
  FinishReason,
  GenerationEvent,
  TextEvent,
  TokenLogprob,
} from '../../../interface/generation.ts'
import type { Json, JsonObject } from '../../../std/json.ts'
import type { ReplyContext, StreamEncoder } from '../../wire-format.ts'
import { readChatVariant } from '../variant.ts'
import { ChunkWriter, keepAliveComment, systemFingerprint } from './chunk-writer.ts'
import { usageObject } from './usage.ts'

const idPrefix = 'cmpl-'

/** A `text_completion` object. */
export function encodeReply(completion: Completion, context: ReplyContext): string {
  const { request } = context.parsed
  const echo = echoOf(context)
  return JSON.stringify({
    id: idPrefix + context.id,
    object: 'text_completion',
    created: context.created,
    model: request.model,
    choices: completion.choices.map((choice, index) => ({
      text: echo + plainText(choice),
      index,
      logprobs: new LegacyLogprobs(request.topLogprobs).encode(choice.logprobs),
      finish_reason: finishReason(choice.finish),
    })),
    usage: usageObject(completion.usage, context.isHit),
    system_fingerprint: systemFingerprint,
  })
}

/** The prompt where the client wants to see it before the answer. */
function echoOf(context: ReplyContext): string {
  const { request, variant } = context.parsed
  const isEcho = readChatVariant(variant).isEcho && typeof request.prompt === 'string'
  return isEcho ? String(request.prompt) : ''
}

/**
 * This API knows one kind of text: reasoning and refusals are told in it, too, rather than lost.
 */
function plainText(choice: Choice): string {
  let text = ''
  for (const part of choice.parts) if (part.type !== 'tool-call') text += part.text
  return text
}

function finishReason(reason: FinishReason): string {
  return reason === 'tool_calls' ? 'stop' : reason
}

/**
 * Log-probabilities in the API's old shape: four lists, and where each token begins in the text.
 */
class LegacyLogprobs {
  /** Code points of the text so far, as the tokens spell it. */
  #offset = 0
  readonly #top: number

  constructor(top: number | undefined) {
    this.#top = top ?? 0
  }

  encode(logprobs: readonly TokenLogprob[] | undefined): Json {
    if (logprobs === undefined || logprobs.length === 0) return null
    const offsets = logprobs.map(({ token }) => {
      const offset = this.#offset
      for (const _ of token) this.#offset += 1
      return offset
    })
    return {
      tokens: logprobs.map(entry => entry.token),
      token_logprobs: logprobs.map(entry => entry.logprob),
      top_logprobs: this.#top === 0 ? null : logprobs.map(topObject),
      text_offset: offsets,
    }
  }
}

/** By token text; of tokens that look the same, the likelier one is kept. */
function topObject({ top }: TokenLogprob): JsonObject {
  const byToken = new Map<string, number>()
  for (const { token, logprob } of top) {
    byToken.set(token, Math.max(logprob, byToken.get(token) ?? Number.NEGATIVE_INFINITY))
  }
  return Object.fromEntries(byToken)
}

/** A stream of `text_completion` objects. */
export function openStream(context: ReplyContext): StreamEncoder {
  return new TextStream(context)
}

class TextStream implements StreamEncoder {
  readonly contentType = 'text/event-stream; charset=utf-8'
  readonly #writer: ChunkWriter
  readonly #echo: string
  readonly #logprobs: readonly LegacyLogprobs[]

  constructor(context: ReplyContext) {
    const { choiceCount, topLogprobs } = context.parsed.request
    this.#writer = new ChunkWriter(context, idPrefix, 'text_completion')
    this.#echo = echoOf(context)
    this.#logprobs = Array.from({ length: choiceCount }, () => new LegacyLogprobs(topLogprobs))
  }

  encode(event: GenerationEvent): string {
    switch (event.type) {
      case 'start':
        return this.#start()
      case 'text':
        return this.#text(event)
      case 'tool-call':
      case 'tool-arguments':
        // Only chat requests have tools.
        return ''
      case 'finish':
        return this.#chunk(event.choice, '', finishReason(event.reason))
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
    if (this.#echo === '') return ''
    return this.#logprobs.map((_, choice) => this.#chunk(choice, this.#echo)).join('')
  }

  #text({ choice, text, logprobs }: TextEvent): string {
    if (logprobs === undefined) return text === '' ? '' : this.#chunk(choice, text)
    const told = JSON.stringify(this.#logprobs[choice]?.encode(logprobs) ?? null)
    return this.#writer.chunk(
      `{"text":${JSON.stringify(text)},"index":${choice},"logprobs":${told},"finish_reason":null}`,
    )
  }

  #chunk(choice: number, text: string, finish?: string): string {
    const reason = finish === undefined ? 'null' : `"${finish}"`
    const head = `{"text":${JSON.stringify(text)},"index":${choice}`
    return this.#writer.chunk(`${head},"logprobs":null,"finish_reason":${reason}}`)
  }
}
