import { z } from 'zod'
import { requestInvalid } from '../../errors.ts'
import type { CacheHints, ContentPart, Message } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { CacheMarks } from '../prompt-cache/cache-marks.ts'
import { maybe, oneOf, parseAt } from '../validate.ts'

/** As many as Anthropic takes: each is a place where a prefix is looked up and kept. */
const breakpointsMax = 4
const ttlSeconds = { '5m': 300, '1h': 3_600 } as const
const controlSchema = z.looseObject({
  type: oneOf(['ephemeral']),
  ttl: maybe(oneOf(['5m', '1h'])),
})
const diagnosticsSchema = z.looseObject({ previous_message_id: maybe(z.string()) })

/**
 * The `cache_control` breakpoints of a body. They are checked as Anthropic checks them, and never
 * change what the model reads.
 */
export class Breakpoints {
  readonly #marks = new CacheMarks()
  /** Where each stands. */
  readonly #paths: string[] = []

  /** Whether a block, tool or body has one. @throws request_invalid for another form */
  at(holder: JsonObject, path: string): boolean {
    const value = holder['cache_control']
    if (value === undefined || value === null) return false
    const at = path === '' ? 'cache_control' : `${path}.cache_control`
    const { ttl } = parseAt(controlSchema, value, at)
    this.#marks.keepFor(ttlSeconds[ttl ?? '5m'])
    this.#paths.push(at)
    return true
  }

  mark(end: Message): void {
    this.#marks.mark(end)
  }

  /** Marks what was made of a block, if the block has a breakpoint; returns it. */
  read<End extends ContentPart | Message>(end: End, block: JsonObject, path: string): End {
    if (this.at(block, path)) this.#marks.mark(end)
    return end
  }

  /** Templates tell all tools in one place: a breakpoint at one of them is one behind the last. */
  readTool(tool: JsonObject, path: string): void {
    if (this.at(tool, path)) this.#marks.markTools()
  }

  /**
   * What the whole body says of caching its prompt.
   * @throws request_invalid for more breakpoints than there may be
   */
  hints(body: JsonObject, messages: readonly Message[]): { cache?: CacheHints } {
    const last = messages.at(-1)
    const isAutomatic = this.at(body, '')
    if (isAutomatic) {
      // Where the last block has its own, the automatic one is that one.
      if (this.#endsMarked(messages)) this.#paths.pop()
      else if (last !== undefined) this.#marks.mark(last)
    }
    const excess = this.#paths[breakpointsMax]
    if (excess !== undefined) {
      throw requestInvalid(
        excess,
        `'${excess}' is one too many: ${this.#paths.length} blocks have 'cache_control', and at ` +
          `most ${breakpointsMax} may`,
      )
    }
    return this.#marks.hints({
      marks: this.#marks.in(messages),
      isMarked: isAutomatic,
      wantsDiagnostics: wantsDiagnostics(body),
    })
  }

  #endsMarked(messages: readonly Message[]): boolean {
    const mark = this.#marks.in(messages).at(-1)
    if (mark?.after !== 'message' || mark.message !== messages.length - 1) return false
    const parts = messages.at(-1)?.content.length ?? 0
    return mark.part === undefined || mark.part === parts - 1
  }
}

/** `previous_message_id: null` asks, too: it is how a first turn does. @throws request_invalid */
function wantsDiagnostics({ diagnostics }: JsonObject): boolean {
  if (diagnostics === undefined || diagnostics === null) return false
  parseAt(diagnosticsSchema, diagnostics, 'diagnostics')
  return true
}
