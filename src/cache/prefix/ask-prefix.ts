import { OperationError } from '../../errors.ts'
import type { EngineModel, PromptAccess, PromptTokens } from '../../interface/engine.ts'
import type { StateAccess } from '../../interface/kv-state.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import type { Scope } from '../../key/scope.ts'
import { blockBytes, blockTokens } from '../../key/state-layout.ts'
import { searchMsMax, type TtftQuestion } from '../../route/predict-ttft.ts'
import type { AbortOptions } from '../../std/signal.ts'
import type { Reputation } from '../../trust/reputation.ts'
import type { FoundRun, SwarmBlocks } from '../blocks/swarm-blocks.ts'
import type { ServedModel } from '../model-table.ts'
import type { RefusedIssuers } from './audit/refused-issuers.ts'
import { blocksOf, type PromptBlocks, stateOf } from './prompt-blocks.ts'
import type { Rates } from './rates.ts'
import type { BlockTiers } from './tiers/block-tiers.ts'

/** A request whose prompt may have been computed before. */
export interface PrefixAsk {
  readonly served: ServedModel
  readonly request: CompletionRequest
  readonly scope: Scope
  /** Whether blocks that peers have will do. @default true */
  readonly asksPeers?: boolean
  /** Whether blocks of it may be kept. @default true */
  readonly keeps?: boolean
}

/** What the prefix cache needs of the swarm that a scope belongs to. */
export interface PrefixSwarm {
  readonly blocks: SwarmBlocks
  readonly reputation: Reputation
}

/** What is known of a prompt's KV state, here and on peers, before anything is decided. */
export interface KnownPrefix {
  readonly prompt: PromptTokens
  readonly blocks: PromptBlocks
  readonly state: StateAccess
  readonly question: TtftQuestion
  /** What peers have behind what is here; empty where nobody was asked. */
  readonly found: FoundRun
}

export interface AskComponents {
  readonly tiers: BlockTiers
  readonly rates: Rates
  readonly swarm: PrefixSwarm | undefined
  /** Whoever is among them is not asked, whatever its reputation says. */
  readonly refused: RefusedIssuers
}

const nothingFound: FoundRun = { blocks: [], bytes: 0, bandwidth: 0, latencyMs: 0 }

/** Why the state of a model's prompts is not kept; undefined where it is. */
export function offReason(model: EngineModel): string | undefined {
  const reached = stateOf(model)
  return 'unavailable' in reached ? reached.unavailable : undefined
}

/**
 * Looks where a prompt's state is: in the engine, on this node, and, as long as it could pay, on
 * peers. @throws what `prompt` throws: the request cannot be run
 */
export async function askPrefix(
  parts: AskComponents,
  { served, request, scope }: PrefixAsk,
  options: AbortOptions & { readonly partition: string },
): Promise<KnownPrefix | { readonly unavailable: string }> {
  const { engine, model } = served
  const reached = stateOf(model)
  if ('unavailable' in reached) return reached
  const { access, state } = reached
  const prompt = await promptOf(access, request, options)
  if ('unavailable' in prompt) return prompt
  const blocks = await blocksOf(prompt, model, state, scope)
  const usable = blocks.keys.slice(0, blocks.usableMax)
  const question: TtftQuestion = {
    promptTokens: prompt.tokenIds.length,
    blockTokens,
    rowBytes: blockBytes(state.layout),
    blocksMax: blocks.usableMax,
    residentTokens: state.residentTokens(prompt.tokenIds, options.partition),
    local: parts.tiers.leading(usable),
    queueMs: parts.rates.queueMs(engine.load()),
    rates: parts.rates.of(model),
  }
  const found = await askPeers(parts, blocks, question, options)
  const { bandwidth, latencyMs } = found
  const blockSizes = found.blocks.map(({ bytes }) => bytes)
  const peers =
    found === nothingFound ? {} : { peers: { blockBytes: blockSizes, bandwidth, latencyMs } }
  return { prompt, blocks, state, found, question: { ...question, ...peers } }
}

/** What is wrong with the request is thrown; of an engine in trouble, `generate` will tell. */
async function promptOf(
  access: PromptAccess,
  request: CompletionRequest,
  options: AbortOptions,
): Promise<PromptTokens | { readonly unavailable: string }> {
  try {
    return await access.prompt(request, options)
  } catch (error) {
    if (!(error instanceof OperationError) || error.origin === 'client') throw error
    return { unavailable: error.message }
  }
}

async function askPeers(
  { swarm, refused }: AskComponents,
  blocks: PromptBlocks,
  question: TtftQuestion,
  { signal }: AbortOptions,
): Promise<FoundRun> {
  if (swarm?.blocks.hasPeers !== true) return nothingFound
  const deadlineMs = searchMsMax(question)
  if (deadlineMs === 0) return nothingFound
  const wanted = blocks.hashes.slice(question.local.length, blocks.usableMax)
  const found = await swarm.blocks.find(wanted, { signal, deadlineMs })
  const isGood = ({ hash, issuer }: FoundRun['blocks'][number], index: number): boolean =>
    hash === wanted[index] && !swarm.reputation.isQuarantined(issuer) && !refused.has(issuer)
  const bad = found.blocks.findIndex((block, index) => !isGood(block, index))
  const isUseful = found.bandwidth > 0 && Number.isFinite(found.latencyMs)
  if (!isUseful) return { ...found, blocks: [], bytes: 0 }
  return bad === -1 ? found : leadingOf(found, bad)
}

/** The first so many blocks of a run. */
export function leadingOf(run: FoundRun, count: number): FoundRun {
  const blocks = run.blocks.slice(0, count)
  return { ...run, blocks, bytes: blocks.reduce((sum, { bytes }) => sum + bytes, 0) }
}
