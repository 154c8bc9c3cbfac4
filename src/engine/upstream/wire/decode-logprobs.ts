import type { TokenLogprob } from '../../../interface/generation.ts'
import { topLogprobsMax } from '../../../limits.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'

/** What servers write for a probability of zero, since JSON has no infinity. */
const impossibleLogprob = -9_999

/**
 * The `logprobs` of a streamed choice: chat's `{content: […]}` or the parallel lists of
 * /v1/completions.
 */
export function decodeLogprobs(value: unknown): readonly TokenLogprob[] {
  if (!isJsonObject(value)) return []
  const entries = value['content'] ?? value['refusal']
  if (Array.isArray(entries)) return entries.filter(isJsonObject).map(decodeEntry)
  return Array.isArray(value['tokens']) ? decodeLists(value) : []
}

function decodeEntry(entry: JsonObject): TokenLogprob {
  const top = entry['top_logprobs']
  const alternatives = Array.isArray(top) ? top.slice(0, topLogprobsMax).filter(isJsonObject) : []
  return { ...decodeToken(entry), top: sortTop(alternatives.map(decodeToken)) }
}

type Token = Omit<TokenLogprob, 'top'>

function decodeToken(entry: JsonObject): Token {
  const token = typeof entry['token'] === 'string' ? entry['token'] : ''
  const { bytes } = entry
  const isBytes = Array.isArray(bytes) && bytes.every(isByte)
  return {
    token,
    bytes: isBytes ? bytes : [...Buffer.from(token)],
    logprob: logprobOf(entry['logprob']),
  }
}

function decodeLists(value: JsonObject): readonly TokenLogprob[] {
  const { tokens, token_logprobs: logprobs, top_logprobs: tops } = value
  if (!Array.isArray(tokens)) return []
  return tokens.map((token, index) => {
    const top = Array.isArray(tops) ? tops[index] : undefined
    const alternatives = isJsonObject(top) ? Object.entries(top).slice(0, topLogprobsMax) : []
    const logprob = Array.isArray(logprobs) ? logprobs[index] : undefined
    return {
      ...decodeToken({ token, logprob: logprob ?? impossibleLogprob }),
      top: sortTop(alternatives.map(([token, logprob]) => decodeToken({ token, logprob }))),
    }
  })
}

function sortTop(top: readonly Token[]): readonly Token[] {
  return top.toSorted((a, b) => b.logprob - a.logprob)
}

/** Rounding makes some servers report a little more than zero. */
function logprobOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value)
    ? Math.min(0, value)
    : impossibleLogprob
}

function isByte(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255
}
