import { bandwidthText, blocksText, bytesText, secondsText, tokensText } from './plain-words.ts'

/** Where a block can be taken from on this node. */
export type LocalTier = 'memory' | 'disk'

/** What is known of a prompt before it is computed. */
export interface TtftQuestion {
  readonly promptTokens: number
  /** Tokens of one block, and bytes of its rows as the engine takes them. */
  readonly blockTokens: number
  readonly rowBytes: number
  /** Most blocks that may be taken over: the last token of a prompt is always computed. */
  readonly blocksMax: number
  /** Leading tokens that the engine holds. */
  readonly residentTokens: number
  /** The tiers of the leading blocks that this node has, first to last. */
  readonly local: readonly LocalTier[]
  /** What peers say they have of the blocks behind those; absent: nobody was asked. */
  readonly peers?: PeerRun
  /** Until the engine begins, whatever it begins from. */
  readonly queueMs: number
  readonly rates: TtftRates
}

export interface PeerRun {
  /** Sealed bytes of each block, first to last. */
  readonly blockBytes: readonly number[]
  /** Bytes per second. */
  readonly bandwidth: number
  /** Until the first byte. */
  readonly latencyMs: number
}

/** Measured where they can be, `defaultRates` until then. */
export interface TtftRates {
  readonly prefillTokensPerSecond: number
  /** Rows into the engine. */
  readonly importBytesPerSecond: number
  /** Blocks read from disk, opened and checked. */
  readonly diskBytesPerSecond: number
}

/**
 * Until something was measured. Prefill: a small model on a processor, a large one on a card; too
 * high a guess only costs the first prompt. Import: a tenth of what a block-sized file in memory
 * does (research/engine.md §3: 22 MB in 19 ms). Disk: a SATA SSD, whose blocks are also decrypted.
 */
export const defaultRates: TtftRates = {
  prefillTokensPerSecond: 1_000,
  importBytesPerSecond: 500e6,
  diskBytesPerSecond: 300e6,
}

export interface TtftPlan {
  /** Leading blocks to take over: those of this node, then those of peers. 0: none. */
  readonly localBlocks: number
  readonly peerBlocks: number
  readonly predictedMs: number
  /** The same without taking over anything. */
  readonly withoutMs: number
  /** Time for the blocks of peers alone, first to last, from the moment they are asked for. */
  readonly fetchMs: number
  /** One sentence for people: why it is done so. */
  readonly reason: string
}

/**
 * How a prompt reaches its first token soonest (DESIGN §6): from what is resident, or from so many
 * blocks of memory, disk and peers. Taking over a block pays while it takes less time than
 * prefilling its tokens, so that the best number may be smaller than what is there. Ties go to the
 * smaller number: what is computed needs no trust.
 *
 * Prefill is taken as linear in the tokens. It grows faster, which makes taking over better than
 * predicted, never worse. Pure.
 */
export function planTtft(question: TtftQuestion): TtftPlan {
  const { promptTokens, blockTokens, residentTokens, queueMs, rates } = question
  const prefillMs = (tokens: number): number => (tokens / rates.prefillTokensPerSecond) * 1_000
  const withoutMs = queueMs + prefillMs(promptTokens - residentTokens)
  let best = { blocks: 0, ms: withoutMs }
  for (const { blocks, takeMs } of prefixesOf(question)) {
    const left = promptTokens - blocks * blockTokens
    if (blocks * blockTokens <= residentTokens) continue
    const ms = queueMs + takeMs + prefillMs(left)
    if (ms < best.ms) best = { blocks, ms }
  }
  const localBlocks = Math.min(best.blocks, question.local.length)
  const chosen = { localBlocks, peerBlocks: best.blocks - localBlocks }
  return {
    ...chosen,
    predictedMs: best.ms,
    withoutMs,
    fetchMs: fetchMsOf(question, chosen.peerBlocks),
    reason: reasonOf(question, chosen),
  }
}

/** Time that peers may be searched before the engine begins: a part of what it could save. */
export function searchMsMax(question: TtftQuestion): number {
  const { promptTokens, blockTokens, blocksMax, residentTokens, local, rates } = question
  const known = Math.max(residentTokens, local.length * blockTokens)
  const savable = Math.min(promptTokens, blocksMax * blockTokens) - known
  if (savable < blockTokens) return 0
  const ms = (savable / rates.prefillTokensPerSecond) * 1_000 * searchShare
  return ms < searchMsLeast ? 0 : Math.min(ms, searchMsMost)
}

/** Of the prefill that it may save: a search that finds nothing costs no more than a quarter. */
const searchShare = 0.25
/** Less is not worth a question: no network answers so soon. */
const searchMsLeast = 5
/** Whoever has not answered by then is too slow to fetch from. */
const searchMsMost = 1_000

/** Every number of leading blocks that could be taken over, and how long taking them takes. */
function* prefixesOf(
  question: TtftQuestion,
): Generator<{ readonly blocks: number; readonly takeMs: number }> {
  const { rowBytes, blocksMax, local, rates, peers } = question
  const importMs = (rowBytes / rates.importBytesPerSecond) * 1_000
  const diskMs = (rowBytes / rates.diskBytesPerSecond) * 1_000
  let takeMs = 0
  let blocks = 0
  for (const tier of local.slice(0, blocksMax)) {
    blocks += 1
    takeMs += importMs + (tier === 'disk' ? diskMs : 0)
    yield { blocks, takeMs }
  }
  if (peers === undefined) return
  let fetchMs = peers.latencyMs
  let fetchedImportMs = 0
  for (const bytes of peers.blockBytes) {
    if (blocks >= blocksMax) return
    blocks += 1
    fetchMs += (bytes / peers.bandwidth) * 1_000
    fetchedImportMs += importMs
    // Blocks are imported while later ones still arrive: only what is slower counts, and the last.
    yield { blocks, takeMs: takeMs + Math.max(fetchMs, fetchedImportMs) + importMs }
  }
}

/** How long the first so many blocks of peers take to arrive. */
function fetchMsOf({ peers }: TtftQuestion, blocks: number): number {
  if (peers === undefined || blocks === 0) return 0
  const bytes = sum(peers.blockBytes.slice(0, blocks))
  return peers.latencyMs + (bytes / peers.bandwidth) * 1_000
}

function reasonOf(
  question: TtftQuestion,
  chosen: Pick<TtftPlan, 'localBlocks' | 'peerBlocks'>,
): string {
  const { residentTokens, local, peers, blocksMax } = question
  const offered = Math.min(peers?.blockBytes.length ?? 0, Math.max(0, blocksMax - local.length))
  const parts: string[] = []
  if (chosen.localBlocks > 0) parts.push(localText(question, chosen.localBlocks))
  else if (residentTokens > 0) parts.push(`${tokensText(residentTokens)} are resident`)
  if (chosen.peerBlocks > 0) parts.push(fetchText(question, chosen.peerBlocks, 'takes'))
  else if (offered > 0) parts.push(fetchText(question, offered, 'would take'))
  if (parts.length > 0) return parts.join('; ')
  if (blocksMax === 0) return `the prompt is no longer than a block of KV state`
  if (local.length > 0) {
    const count = blocksText(Math.min(local.length, blocksMax))
    return `prefilling is faster than importing the ${count} that are here`
  }
  return peers === undefined
    ? 'no KV state of it is kept here'
    : 'no KV state of it is kept here, nor has a peer any'
}

function localText({ local, blockTokens }: TtftQuestion, blocks: number): string {
  const used = local.slice(0, blocks)
  const tiers = (['memory', 'disk'] as const).filter(tier => used.includes(tier))
  return `${tokensText(blocks * blockTokens)} come from ${tiers.join(' and ')}`
}

/** Of all blocks, though fewer may have been chosen: what would be fetched and what it saves. */
function fetchText(question: TtftQuestion, blocks: number, verb: string): string {
  const { peers, blockTokens, rates } = question
  if (peers === undefined) return ''
  const bytes = bytesText(sum(peers.blockBytes.slice(0, blocks)))
  const fetchSeconds = fetchMsOf(question, blocks) / 1_000
  const prefillSeconds = (blocks * blockTokens) / rates.prefillTokensPerSecond
  return (
    `fetching ${blocksText(blocks)} (${bytes}) at ${bandwidthText(peers.bandwidth)} ${verb} ` +
    `${secondsText(fetchSeconds)}, prefilling them ${secondsText(prefillSeconds)}`
  )
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
