import type { PeerId } from '../../../key/peer-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { basedAnswersMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'

/**
 * Answers that were computed on KV state of peers, and of whom: when one of them turns out to send
 * wrong state, they are as wrong as that. Forgotten when the node stops.
 */
export class BasedAnswers {
  readonly #answers = new Lru<LookupKey, readonly PeerId[]>(basedAnswersMax)

  note(answer: LookupKey, issuers: readonly PeerId[]): void {
    if (issuers.length > 0) this.#answers.set(answer, issuers, 1)
  }

  /** Those that rest on an issuer; they are forgotten. */
  take(issuer: PeerId): readonly LookupKey[] {
    const taken = [...this.#answers.entries()].flatMap(([key, { value }]) =>
      value.includes(issuer) ? [key] : [],
    )
    for (const key of taken) this.#answers.delete(key)
    return taken
  }
}
