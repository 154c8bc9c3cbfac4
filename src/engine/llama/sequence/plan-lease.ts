import { blockTokens } from '../../../key/state-layout.ts'
import { assert } from '../../../std/assert.ts'
import {
  blockPart,
  planResume,
  type Resident,
  sharedBlockTokens,
  wholeBlocks,
} from './plan-resume.ts'

/** A prompt that wants a sequence. */
export interface LeaseRequest {
  readonly promptTokens: readonly number[]
  /** Resident tokens of other partitions do not count. */
  readonly partition: string
  /** Leading tokens of the prompt whose state could be loaded from a file. @default 0 */
  readonly offeredTokens?: number
}

/** A sequence as the plan sees it. */
export interface LeaseCandidate {
  readonly resident: Resident
  readonly isIdle: boolean
}

/** Which sequence is lent, and what it begins from; both are indices of the candidates. */
export interface LeasePlan {
  readonly slot: number
  readonly start: LeaseStart<number>
}

export type LeaseStart<Slot> =
  /** What is resident in it. */
  | { readonly type: 'resident' }
  /** The blocks that another sequence shares with the prompt, copied from it. */
  | { readonly type: 'fork'; readonly source: Slot }
  /** The offered file. */
  | { readonly type: 'load' }

interface View {
  readonly index: number
  /** Tokens that the prompt would resume from here. */
  readonly reuse: number
  /** Tokens of whole blocks that another sequence could copy from here. */
  readonly blocks: number
  /** Tokens of whole blocks, wanted by somebody else perhaps, that lending this would lose. */
  readonly lost: number
}

/**
 * Decides which sequence serves a prompt. `candidates`: all of them, those unused for longest
 * first; one at least is idle.
 *
 * Least prefill first. Among the ways to it, the one that loses least: where the best sequence
 * would lose blocks that other conversations may come back to, its common prefix is copied into a
 * sequence that has no blocks to lose, or into one unused for longer. A file is loaded only where
 * it covers more than any sequence.
 */
export function planLease(
  request: LeaseRequest,
  candidates: readonly LeaseCandidate[],
  options: { readonly isCuttable: boolean },
): LeasePlan {
  const views = candidates.map((candidate, index) => viewOf(candidate, index, request, options))
  const idle = views.filter(({ index }) => candidates[index]?.isIdle === true)
  const direct = mostOf(idle, view => view.reuse)
  const asIs = beginIn(direct)
  // Where nothing can be cut off, nothing can be copied or loaded in part either.
  if (!options.isCuttable) return asIs
  const source = mostOf(views, view => view.blocks)
  const offered = Math.min(request.offeredTokens ?? 0, blockPart(request.promptTokens.length))
  if (wholeBlocks(offered) > Math.max(direct.reuse, source.blocks)) {
    return { slot: leastLoss(idle).index, start: { type: 'load' } }
  }
  if (source.blocks >= direct.reuse + blockTokens) return fork(source, leastLoss(idle))
  if (direct.lost === 0) return asIs
  if (direct.blocks === 0) {
    // Less than a block is not worth the blocks of somebody else.
    return source.blocks > 0 ? fork(source, leastLoss(idle)) : beginIn(leastLoss(idle))
  }
  const others = idle.filter(view => view !== direct)
  if (others.length === 0) return asIs
  const other = leastLoss(others)
  if (other.lost > 0 && other.index > direct.index) return asIs
  return fork(source === other ? direct : source, other)
}

function viewOf(
  { resident }: LeaseCandidate,
  index: number,
  { promptTokens, partition }: LeaseRequest,
  { isCuttable }: { readonly isCuttable: boolean },
): View {
  const blocks = sharedBlockTokens(resident, promptTokens, partition)
  return {
    index,
    reuse: planResume(resident, promptTokens, { partition, isCuttable }).reuseTokens,
    blocks,
    lost: wholeBlocks(resident.tiledTokens) - blocks,
  }
}

function beginIn(target: View): LeasePlan {
  return { slot: target.index, start: { type: 'resident' } }
}

function fork(source: View, target: View): LeasePlan {
  return { slot: target.index, start: { type: 'fork', source: source.index } }
}

/** The first of those without blocks to lose; else the one unused for longest. */
function leastLoss(views: readonly View[]): View {
  const [oldest] = views
  assert(oldest !== undefined, 'A sequence is idle when one is lent')
  return views.find(view => view.lost === 0) ?? oldest
}

/** The first of the largest. */
function mostOf(views: readonly View[], measure: (view: View) => number): View {
  const [first, ...rest] = views
  assert(first !== undefined, 'A sequence is idle when one is lent')
  return rest.reduce((best, view) => (measure(view) > measure(best) ? view : best), first)
}
