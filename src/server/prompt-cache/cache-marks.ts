import type { CacheHints, CacheMark, ContentPart, Message } from '../../key/completion-request.ts'

/**
 * Gathers where the reusable prefixes of a prompt end, while its body is parsed. Parts and messages
 * are remembered by identity: where they stand in the neutral request is known at the end only.
 */
export class CacheMarks {
  readonly #marked = new Set<ContentPart | Message>()
  #isAfterTools = false
  #keepSeconds: number | undefined

  /** The prefix that ends with the tools. */
  markTools(): void {
    this.#isAfterTools = true
  }

  /** The prefix that ends with a part of a message, or with the whole of one. */
  mark(end: ContentPart | Message): void {
    this.#marked.add(end)
  }

  /** How long the client wants it kept at least; the longest wish counts. */
  keepFor(seconds: number): void {
    this.#keepSeconds = Math.max(seconds, this.#keepSeconds ?? 0)
  }

  /** In the order of the prompt: tools, then messages. */
  in(messages: readonly Message[]): readonly CacheMark[] {
    const marks: CacheMark[] = this.#isAfterTools ? [{ after: 'tools' }] : []
    if (this.#marked.size === 0) return marks
    for (const [message, value] of messages.entries()) {
      for (const [part, content] of value.content.entries()) {
        if (this.#marked.has(content)) marks.push({ after: 'message', message, part })
      }
      if (this.#marked.has(value)) marks.push({ after: 'message', message })
    }
    return marks
  }

  /** The request's `cache` field; nothing where the client said nothing. */
  hints(told: Omit<CacheHints, 'keepSeconds'>): { cache?: CacheHints } {
    const { marks, isMarked, wantsDiagnostics = false } = told
    const keepSeconds = this.#keepSeconds
    if (marks.length === 0 && !isMarked && !wantsDiagnostics) return {}
    return {
      cache: {
        marks,
        isMarked,
        ...(wantsDiagnostics ? { wantsDiagnostics } : {}),
        ...(keepSeconds === undefined ? {} : { keepSeconds }),
      },
    }
  }
}
