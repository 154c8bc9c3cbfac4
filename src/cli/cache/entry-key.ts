import { OperationError } from '../../errors.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { UsageError } from '../exit-code.ts'
import type { CacheAccess } from './cache-access.ts'

/** Entries searched for a shortened key. */
const searchedMax = 1_000_000

/**
 * The whole key that a person means: a response key or look-up key as it is, or the first digits of
 * a look-up key as `cache ls` shows them.
 * @throws UsageError for what is no key, not_found
 */
export async function wholeKey(
  text: string,
  cache: CacheAccess,
  options: AbortOptions,
): Promise<string> {
  const digits = text.toLowerCase()
  if (/^[0-9a-f]{64}$/.test(digits)) return digits
  if (!/^[0-9a-f]{6,63}$/.test(digits)) {
    throw new UsageError(
      `'${text}' is no key: 64 hex digits, or the first 6 or more of a look-up key`,
    )
  }
  const entries = await cache.cacheEntries(searchedMax, options)
  const matches = entries.filter(({ lookupKey }) => lookupKey.startsWith(digits))
  const [match] = matches
  if (match === undefined) throw noEntry(text)
  if (matches.length > 1) throw new UsageError(`'${text}' fits ${matches.length} entries`)
  return match.lookupKey
}

export function noEntry(text: string): OperationError {
  return new OperationError('not_found', `No stored answer has the key ${text}`, {
    origin: 'client',
  })
}
