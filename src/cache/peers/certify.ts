import type { EngineModel, TokenScore } from '../../interface/engine.ts'
import type { Completion } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { LookupKey } from '../../key/response-key.ts'
import type { Clock } from '../../std/clock.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { leavesOf } from '../../trust/leaves.ts'
import { issueReceipt, type ReceiptSigner } from '../../trust/receipt.ts'
import type { Leaf } from '../../wire/leaves.ts'
import { upstreamClass } from '../../wire/receipt.ts'
import type { AnswerBasis } from './swarm-flight.ts'

export interface Certification {
  readonly request: CompletionRequest
  readonly completion: Completion
  readonly model: EngineModel
  readonly lookupKey: LookupKey
  readonly expiresAt: number
  /** Of the sampler. */
  readonly seed: bigint
  readonly basis: AnswerBasis
}

/**
 * Alternatives kept per position: enough to tell models and quantisations apart (spec/receipts.md).
 */
const sketchTokens = 8

/**
 * Signs what this node computed. Where the engine has tokens, one scoring pass over prompt and
 * answer gives the leaves that audits are checked against; elsewhere the receipt says `upstream`.
 * @throws TypeError where only some of the choices have tokens: no receipt could be of them
 */
export async function certify(
  signer: ReceiptSigner,
  clock: Clock,
  what: Certification,
  options: AbortOptions,
): Promise<{ readonly receipt: Uint8Array; readonly leaves: readonly Leaf[] | undefined }> {
  const { completion, model, lookupKey, expiresAt, seed, basis } = what
  const { choices } = completion
  const tokenLists = choices.flatMap(({ tokenIds }) => (tokenIds === undefined ? [] : [tokenIds]))
  const isUpstream = tokenLists.length === 0
  if (!isUpstream && tokenLists.length < choices.length) {
    throw new TypeError('Some choices have token ids and others none')
  }
  const leaves = isUpstream ? undefined : await scoredLeaves(what, tokenLists, options)
  const receipt = issueReceipt(
    {
      lookupKey,
      completion,
      expiresAt,
      // An upstream may count its prompts otherwise than it cuts them into tokens.
      unauditedTokens: Math.min(basis.unauditedTokens, completion.usage.promptTokens),
      numericClass: isUpstream ? upstreamClass : model.numericClass,
      ...(isUpstream ? {} : { seed }),
      ...(leaves === undefined ? {} : { leaves }),
    },
    signer,
    clock,
  )
  return { receipt, leaves }
}

async function scoredLeaves(
  { request, model, basis }: Certification,
  tokenLists: readonly (readonly number[])[],
  { signal }: AbortOptions,
): Promise<readonly Leaf[] | undefined> {
  const { tokens } = model
  if (tokens === undefined) return undefined
  const { tokenIds: prompt } = await tokens.prompt(request, { signal })
  const scores: TokenScore[] = []
  for (const tokenIds of tokenLists) {
    if (tokenIds.length === 0) continue
    const { partition } = basis
    const options = { from: prompt.length, topLogprobs: sketchTokens, partition, signal }
    scores.push(...(await tokens.score([...prompt, ...tokenIds], options)))
  }
  return leavesOf(scores)
}
