import type { CacheDiagnosis } from '../../cache/cache-diagnosis.ts'
import type { JsonObject } from '../../std/json.ts'
import type { ReplyContext } from '../wire-format.ts'

/**
 * The diagnostics of both vendors compare with an earlier request, named by the id of its answer,
 * and say what was changed since. No request is kept here under such an id: what a reply says
 * instead is why this node had nothing for it, in a field of our own beside the vendor's
 * `unavailable`.
 */

/** `prompt_cache_diagnostics` of responses, for whoever sent a `comparison_response_id`. */
export function responseDiagnostics(
  context: ReplyContext,
  cachedTokens: number,
): { readonly prompt_cache_diagnostics?: JsonObject } {
  if (!isAsked(context)) return {}
  if (context.isHit) return { prompt_cache_diagnostics: { type: 'cache_hit' } }
  const diagnosis = context.diagnose?.(cachedTokens)
  const type = cachedTokens > 0 ? 'cache_hit' : 'unavailable'
  return { prompt_cache_diagnostics: { type, ...ownFields(diagnosis) } }
}

/**
 * `diagnostics` of a message: null where nothing is amiss or nobody asked. `cachedTokens` is
 * undefined while they are not known; a null reason stands for that.
 */
export function messageDiagnostics(
  context: ReplyContext,
  cachedTokens: number | undefined,
): JsonObject | null {
  if (!isAsked(context) || context.isHit) return null
  if (cachedTokens === undefined) return { cache_miss_reason: null }
  if (cachedTokens > 0) return null
  const diagnosis = context.diagnose?.(cachedTokens)
  return { cache_miss_reason: { type: 'unavailable', ...ownFields(diagnosis) } }
}

function isAsked({ parsed }: ReplyContext): boolean {
  return parsed.request.cache?.wantsDiagnostics === true
}

function ownFields(diagnosis: CacheDiagnosis | undefined): JsonObject {
  if (diagnosis === undefined) return {}
  const { code, reason, cachedTokens } = diagnosis
  return { hyperspace: { code, reason, cached_tokens: cachedTokens } }
}
