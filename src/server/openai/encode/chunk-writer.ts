import type { OperationError } from '../../../errors.ts'
import type { Usage } from '../../../interface/generation.ts'
import type { ReplyContext } from '../../wire-format.ts'
import { errorObject } from '../errors.ts'
import { readChatVariant } from '../variant.ts'
import { usageObject } from './usage.ts'

/** What OpenAI changes with its servers' configuration. Here the model digest does that job. */
export const systemFingerprint = 'hyperspace'

/** A comment line: every parser of server-sent events skips it. */
export const keepAliveComment = ': keep-alive\n\n'

/**
 * The server-sent chunks that chat/completions and completions have in common. What is the same in
 * every chunk is written once: per token only the choice is made into JSON.
 */
export class ChunkWriter {
  readonly #head: string
  readonly #tail: string
  readonly #isUsageIncluded: boolean
  readonly #context: ReplyContext

  constructor(context: ReplyContext, idPrefix: string, object: string) {
    const { request, variant } = context.parsed
    const common = JSON.stringify({
      id: idPrefix + context.id,
      object,
      created: context.created,
      model: request.model,
      system_fingerprint: systemFingerprint,
    })
    this.#isUsageIncluded = readChatVariant(variant).isUsageIncluded
    this.#context = context
    this.#head = `data: ${common.slice(0, -1)},"choices":[`
    this.#tail = this.#isUsageIncluded ? '],"usage":null}\n\n' : ']}\n\n'
  }

  /** One chunk with one choice, given as JSON. */
  chunk(choice: string): string {
    return this.#head + choice + this.#tail
  }

  /** The chunk without choices that tells the usage, where it was asked for. */
  usage(usage: Usage): string {
    if (!this.#isUsageIncluded) return ''
    return `${this.#head}],"usage":${JSON.stringify(usageObject(usage, this.#context.isHit))}}\n\n`
  }

  end(): string {
    return 'data: [DONE]\n\n'
  }

  /** SDKs throw the object under `error`. No `[DONE]` follows: the stream is not complete. */
  fail(error: OperationError): string {
    return `data: ${JSON.stringify({ error: errorObject(error) })}\n\n`
  }
}
