import { blockTokens } from '../../../key/state-layout.ts'
import { commonPrefix } from '../../common-prefix.ts'

/**
 * The numerics contract (DESIGN §6, ADR 0009; measured): the engine computes KV state with a tiled
 * kernel for chunks of 64 tokens or more and with a vector kernel for fewer, and the two differ in
 * the last bits; how the tokens are cut into chunks makes no difference otherwise. So where each
 * kernel is used depends on the prompt alone, never on what happened to be resident:
 *
 *     0 ............ B ......... P-1   P = prompt tokens, B = whole blocks of the first P-1
 *     tiled, blocks   tail            the last one is the vector kernel's
 *
 * The tail is tiled where it has enough tokens: behind 2,000 tokens of a small model the vector
 * kernel takes three times as long for each.
 */
export const numericsVersion = 2
/** Fewest tokens of a chunk that the tiled kernel computes. */
export const tiledChunkTokensMin = 64
/** Most tokens of a chunk that the vector kernel computes. */
export const tailChunkTokensMax = 63

/** What a sequence holds in the engine's memory. */
export interface Resident {
  readonly tokenIds: readonly number[]
  /** Leading tokens that the tiled kernel computed. */
  readonly tiledTokens: number
  /** Whose tokens they are (`GenerateOptions.partition`): nobody else may resume from them. */
  readonly partition: string
}

export const nothingResident: Resident = { tokenIds: [], tiledTokens: 0, partition: '' }

export interface ResumePlan {
  /** Leading tokens kept as they are; everything after them is erased. */
  readonly reuseTokens: number
  /** Leading tokens of the prompt that are the tiled kernel's. */
  readonly tiledTokens: number
}

export interface ResumeOptions {
  /** Of the prompt. */
  readonly partition: string
  /**
   * Whether tokens can be erased from the end (not with sliding windows or recurrent memory).
   */
  readonly isCuttable: boolean
}

/**
 * How much of a sequence serves a prompt such that the answer equals the cold one, bit for bit.
 *
 * A token is reused only where the kernel computed it that this prompt wants there, and such that
 * what is left to tile is enough for a chunk. At least the last token is left to evaluate, since
 * its logits are needed. Nothing is reused of another partition.
 */
export function planResume(
  resident: Resident,
  promptTokens: readonly number[],
  options: ResumeOptions,
): ResumePlan {
  const tiledTokens = tiledPart(promptTokens.length)
  const isOwn = resident.partition === options.partition
  const equal = isOwn ? commonPrefix(resident.tokenIds, promptTokens) : 0
  const common = Math.min(equal, promptTokens.length - 1)
  const isSameTail = resident.tiledTokens === tiledTokens && common >= tiledTokens
  const tiled = Math.min(common, tiledTokens, resident.tiledTokens)
  const reuseTokens = isSameTail ? common : tileable(tiled, promptTokens.length)
  const mustErase = reuseTokens < resident.tokenIds.length
  return {
    reuseTokens: mustErase && !options.isCuttable ? 0 : Math.max(0, reuseTokens),
    tiledTokens,
  }
}

/** The most of so many tiled tokens from which the rest of the tiled part can go on. */
function tileable(tiled: number, promptTokens: number): number {
  const end = tiledPart(promptTokens)
  if (tiled === end) return tiled
  return tiled > blockPart(promptTokens)
    ? Math.min(tiled, end - tiledChunkTokensMin)
    : tiled - (tiled % tiledChunkTokensMin)
}

/**
 * Tokens of the whole blocks that a sequence shares with a prompt's block part: what another
 * sequence can take over from it.
 */
export function sharedBlockTokens(
  resident: Resident,
  promptTokens: readonly number[],
  partition: string,
): number {
  if (resident.partition !== partition) return 0
  const common = commonPrefix(resident.tokenIds, promptTokens)
  return wholeBlocks(Math.min(common, resident.tiledTokens, blockPart(promptTokens.length)))
}

/** Tokens of the block part: the whole blocks among all tokens but the last. */
export function blockPart(promptTokens: number): number {
  return wholeBlocks(Math.max(0, promptTokens - 1))
}

/** The tokens that the tiled kernel computes: all but the last, or the block part. */
function tiledPart(promptTokens: number): number {
  const blocks = blockPart(promptTokens)
  const tail = Math.max(0, promptTokens - 1) - blocks
  return tail < tiledChunkTokensMin ? blocks : blocks + tail
}

/** The tokens of the whole blocks among so many. */
export function wholeBlocks(tokens: number): number {
  return tokens - (tokens % blockTokens)
}

export interface PrefillChunk {
  readonly start: number
  readonly end: number
}

/**
 * The chunks that bring a sequence from `plan.reuseTokens` to where its first token is drawn. What
 * is left of the prompt, its last token at least, is one short chunk: a call of its own for the
 * last token would read all weights once more.
 */
export function planPrefill(plan: ResumePlan, promptTokens: number): readonly PrefillChunk[] {
  const chunks: PrefillChunk[] = []
  let start = plan.reuseTokens
  while (start < plan.tiledTokens || promptTokens - start > tailChunkTokensMax) {
    const end =
      start < plan.tiledTokens
        ? Math.min(start - (start % blockTokens) + blockTokens, plan.tiledTokens)
        : Math.min(start + tailChunkTokensMax, promptTokens - 1)
    chunks.push({ start, end })
    start = end
  }
  return chunks
}
