import { hash } from 'node:crypto'
import type { ModelId } from '../../key/model-id.ts'
import type { ResponseKey } from '../../key/response-key.ts'
import type { Scope } from '../../key/scope.ts'
import { rawDigestsMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'
import type { ParsedRequest } from '../wire-format.ts'

/** What a raw body turned out to ask for. */
export interface ReadyRequest {
  readonly key: ResponseKey
  readonly modelId: ModelId
  readonly modelName: string
  readonly maxTokens: number | undefined
  /** Names the ready-made reply of an entry. */
  readonly replyVariant: string
}

/**
 * Remembers what byte-equal bodies ask for. Parsing, canonicalising and hashing are pure functions
 * of endpoint, scope, body and model id, so a body seen before needs none of them: a hot hit costs
 * one SHA-256 over the body.
 */
export class ReadyRequests {
  readonly #byDigest = new Lru<string, ReadyRequest>(rawDigestsMax)
  /** The salts as text, made once: there are as many scopes as API keys. */
  readonly #saltTexts = new WeakMap<Scope, string>()

  /** Names a body at an endpoint in a scope. */
  digest(path: string, scope: Scope, body: Uint8Array): string {
    return `${path}\n${this.#saltText(scope)}${hash('sha256', body, 'base64')}`
  }

  get(digest: string): ReadyRequest | undefined {
    // Not renewed: a body that falls out is parsed once more, which is cheaper than moving all.
    return this.#byDigest.peek(digest)
  }

  set(digest: string, request: ReadyRequest): void {
    this.#byDigest.set(digest, request, 1)
  }

  #saltText(scope: Scope): string {
    const known = this.#saltTexts.get(scope)
    if (known !== undefined) return known
    const text = Buffer.from(scope.salt).toString('base64')
    this.#saltTexts.set(scope, text)
    return text
  }
}

/** Requests with equal key and equal variant get equal bytes. */
export function replyVariantOf(api: string, parsed: ParsedRequest): string {
  const form = parsed.stream ? 'stream' : 'body'
  return `${api}/${form}/${parsed.request.model}/${parsed.variant}`
}
