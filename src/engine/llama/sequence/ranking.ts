import type {
  ControlledEvaluateIndexOutput,
  ControlledEvaluateInputItem,
  Token,
} from 'node-llama-cpp'
import { assert } from '../../../std/assert.ts'

/** What the model thinks may come next, before any sampling. */
export interface RankedNext {
  readonly best: RankedToken
  /** The token asked for, or the best one. */
  readonly wanted: RankedToken
  /** The likeliest ones, likeliest first. */
  readonly top: readonly RankedToken[]
}

export interface RankedToken {
  readonly tokenId: number
  /** Natural, at temperature 1. */
  readonly logprob: number
}

/** A position to rank: the token there, and which next token to tell about. */
export interface RankedInput {
  readonly tokenId: number
  readonly wanted: number | undefined
}

export function rankItem(
  { tokenId, wanted }: RankedInput,
  topCount: number,
): ControlledEvaluateInputItem {
  const [token] = asTokens([tokenId])
  assert(token !== undefined, 'One token in, one out')
  // `includeMax` tests the wrong condition in the native code; the greedy choice is the same token.
  const filter = {
    tokens: wanted === undefined ? [] : asTokens([wanted]),
    includeSelected: true,
    includeTop: topCount,
  }
  return [token, { generateNext: { token: true, totalLogitWeight: true, logits: { filter } } }]
}

export function ranked(
  output: ControlledEvaluateIndexOutput | undefined,
  wanted: number | undefined,
  topCount: number,
): RankedNext {
  const { token, logits, totalLogitWeight } = output?.next ?? {}
  const logitOf = new Map<number, number>(logits)
  const best = token ?? undefined
  const bestLogit = best === undefined ? undefined : logitOf.get(best)
  assert(
    best !== undefined && bestLogit !== undefined && totalLogitWeight !== undefined,
    'The engine tells what was asked of it',
  )
  const logTotal = Math.log(totalLogitWeight)
  const rank = (tokenId: number): RankedToken => {
    const logit = logitOf.get(tokenId)
    assert(logit !== undefined, 'The engine tells the logit of every token asked for')
    return { tokenId, logprob: Math.min(0, logit - bestLogit - logTotal) }
  }
  const likeliest = [...logitOf].sort((a, b) => b[1] - a[1]).slice(0, topCount)
  return {
    best: rank(best),
    wanted: rank(wanted ?? best),
    top: likeliest.map(([tokenId]) => rank(tokenId)),
  }
}

/** node-llama-cpp brands its token ids. */
export function asTokens(tokenIds: readonly number[]): Token[] {
  return tokenIds.map(tokenId => {
    assert(Number.isSafeInteger(tokenId) && tokenId >= 0, 'A token id is a count')
    return tokenId as Token
  })
}
