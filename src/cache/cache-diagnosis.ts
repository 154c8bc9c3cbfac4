/**
 * Why the prompt of an answer was (or was not) found in the caches: what the client APIs'
 * diagnostics and `x-hyperspace-reason` tell.
 */
export interface CacheDiagnosis {
  readonly code: CacheCode
  /** A sentence for people. */
  readonly reason: string
  /** Of the prompt tokens, those that were not computed for this answer. */
  readonly cachedTokens: number
}

/** Stable: programs may compare it. */
export type CacheCode =
  /** State of the prompt's beginning was there. */
  | 'prefix_hit'
  /** Neither the answer nor any state of its prompt was there. */
  | 'miss'
  /** The same request is being answered for somebody else, who began it. */
  | 'collapsed'
  /** The request is none that the response cache may answer. */
  | 'bypass'

/** The diagnosis of an answer that is being computed. */
export function diagnose(
  computed: { readonly outcome: 'miss' | 'collapsed' | 'bypass'; readonly reason: string },
  cachedTokens: number,
): CacheDiagnosis {
  const { outcome, reason } = computed
  return { code: cachedTokens > 0 ? 'prefix_hit' : outcome, reason, cachedTokens }
}
