import { z } from 'zod'
import type { CacheHints, ContentPart, Message } from '../../../key/completion-request.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'
import { CacheMarks } from '../../prompt-cache/cache-marks.ts'
import { maybe, oneOf, parseAt, parseBody } from '../../validate.ts'
import { unsupported } from './fields.ts'

const lifetimeSeconds = { '30m': 1_800, '12h': 43_200 } as const
const lifetime = maybe(oneOf(['30m', '12h']))
const breakpointSchema = z.looseObject({ mode: oneOf(['explicit']), ttl: lifetime })
const optionsSchema = z.looseObject({
  mode: maybe(oneOf(['implicit', 'explicit'])),
  ttl: lifetime,
  /** Of responses only: the answer whose prompt this one is compared with. */
  comparison_response_id: maybe(z.string()),
  prewarm: maybe(z.boolean()),
})
const hintsSchema = z.looseObject({
  prompt_cache_key: maybe(z.string()),
  // The second spelling is that of older SDKs.
  prompt_cache_retention: maybe(oneOf(['in_memory', 'in-memory', '24h'])),
  prompt_cache_options: maybe(optionsSchema),
})

/** Explicit breakpoints that are kept, of those that there are: the latest. */
const breakpointsMax = 4
/** One place goes to the implicit breakpoint, where there is one. */
const breakpointsBesideImplicitMax = 3

/**
 * The `prompt_cache_breakpoint`s of a body. `cache_control`, which gateways before Anthropic's API
 * take in OpenAI's bodies, marks the same and is not checked.
 */
export class Breakpoints {
  readonly #marks = new CacheMarks()

  /**
   * Marks what was made of a part or message, if it has a breakpoint; returns it.
   * @throws request_invalid for another form
   */
  read<End extends ContentPart | Message>(end: End, value: JsonObject, path: string): End {
    if (this.#isAt(value, path)) this.#marks.mark(end)
    return end
  }

  /** Templates tell all tools in one place: a breakpoint at one of them is one behind the last. */
  readTool(tool: JsonObject, path: string): void {
    if (this.#isAt(tool, path)) this.#marks.markTools()
  }

  /** What the whole body says of caching its prompt. @throws request_invalid, unsupported */
  hints(body: JsonObject, messages: readonly Message[]): { cache?: CacheHints } {
    const fields = parseBody(hintsSchema, body)
    const { prompt_cache_key: key, prompt_cache_retention: retention } = fields
    const options = fields.prompt_cache_options ?? undefined
    if (options?.prewarm === true) {
      throw unsupported(
        'prompt_cache_options.prewarm',
        "'prompt_cache_options.prewarm' is not done here: send the request with a limit of 1 token",
      )
    }
    if (retention === '24h') this.#marks.keepFor(86_400)
    if (options?.ttl) this.#marks.keepFor(lifetimeSeconds[options.ttl])
    const isExplicit = options?.mode === 'explicit'
    const isAsked =
      Boolean(key) ||
      retention === '24h' ||
      options !== undefined ||
      isJsonObject(body['cache_control'])
    const kept = isExplicit ? breakpointsMax : breakpointsBesideImplicitMax
    return this.#marks.hints({
      marks: this.#marks.in(messages).slice(-kept),
      isMarked: isAsked && !isExplicit,
      wantsDiagnostics: Boolean(options?.comparison_response_id),
    })
  }

  #isAt(value: JsonObject, path: string): boolean {
    const breakpoint = value['prompt_cache_breakpoint']
    if (breakpoint === undefined || breakpoint === null) return isJsonObject(value['cache_control'])
    const { ttl } = parseAt(breakpointSchema, breakpoint, `${path}.prompt_cache_breakpoint`)
    if (ttl) this.#marks.keepFor(lifetimeSeconds[ttl])
    return true
  }
}
