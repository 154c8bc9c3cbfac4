import type { PeerId } from '../../key/peer-id.ts'
import type { TtftPlan } from '../../route/predict-ttft.ts'
import { type KnownPrefix, leadingOf, type PrefixSwarm } from './ask-prefix.ts'
import type { BlockOffer, FetchPlan } from './offer-blocks.ts'
import type { BlockOrigin, RunId } from './tiers/block-note.ts'

/** What a plan offers to the engine; undefined: nothing. */
export function planOffer(
  { blocks, question, found }: KnownPrefix,
  { localBlocks, peerBlocks }: TtftPlan,
  swarm: PrefixSwarm | undefined,
  newRun: () => RunId,
): BlockOffer | undefined {
  if (localBlocks + peerBlocks === 0) return undefined
  if (peerBlocks === 0 || swarm === undefined) return { blocks, localBlocks }
  const { blockTokens, rates } = question
  const fetch: FetchPlan = {
    swarm: swarm.blocks,
    run: leadingOf(found, peerBlocks),
    prefillMs: (blockTokens / rates.prefillTokensPerSecond) * 1_000,
    originOf: originsOfFetch(newRun),
  }
  return { blocks, localBlocks, fetch }
}

/** A new name for each stretch of one issuer: an audit draws from one stretch. */
function originsOfFetch(newRun: () => RunId): FetchPlan['originOf'] {
  let last: { readonly issuer: PeerId; readonly run: RunId } | undefined
  return ({ issuer }, upTo): BlockOrigin => {
    if (last?.issuer !== issuer) last = { issuer, run: newRun() }
    return { type: 'peer', ...last, upTo, isAudited: false }
  }
}
