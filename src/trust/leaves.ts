import { OperationError } from '../errors.ts'
import type { GeneratedToken, TokenScore } from '../interface/engine.ts'
import type { Completion } from '../interface/generation.ts'
import { sketchMax } from '../limits.ts'
import { hashLeaf, inclusionProof, merkleRoot, rootOfProof } from '../std/merkle.ts'
import {
  compareEntries,
  decodeLeaves,
  type Leaf,
  leafBytes,
  quantiseLogprob,
} from '../wire/leaves.ts'
import type { Receipt } from '../wire/receipt.ts'
import { tokenListsOf } from './completion-digest.ts'

/**
 * One leaf per token, from what the model says of each: scored afterwards, or told while it
 * generated. Undefined when a log-probability is missing.
 */
export function leavesOf(
  tokens: readonly (GeneratedToken | TokenScore)[],
): readonly Leaf[] | undefined {
  const leaves: Leaf[] = []
  for (const { tokenId, logprob, top } of tokens) {
    if (logprob === undefined) return undefined
    const likeliest = (top ?? []).toSorted((a, b) => b.logprob - a.logprob).slice(0, sketchMax)
    const sketch = likeliest.map(entry => ({
      tokenId: entry.tokenId,
      logprob: quantiseLogprob(entry.logprob),
    }))
    leaves.push({ tokenId, logprob: quantiseLogprob(logprob), sketch: sketch.sort(compareEntries) })
  }
  return leaves
}

/** The Merkle root as 64 hex digits. */
export function rootOfLeaves(leaves: readonly Leaf[]): string {
  return Buffer.from(merkleRoot(hashesOf(leaves))).toString('hex')
}

export type LeavesCheck =
  | { readonly outcome: 'valid'; readonly leaves: readonly Leaf[] }
  | { readonly outcome: 'invalid'; readonly reason: LeavesFault }

export type LeavesFault =
  | 'leaves-malformed'
  | 'leaves-not-attested'
  | 'leaves-tokens-differ'
  | 'leaves-root-differs'

/** Checks a list of leaves against a receipt that was verified with this completion. */
export function verifyLeaves(
  bytes: Uint8Array,
  receipt: Receipt,
  completion: Completion,
): LeavesCheck {
  if (receipt.root === undefined) return { outcome: 'invalid', reason: 'leaves-not-attested' }
  const leaves = decoded(bytes)
  if (leaves === undefined) return { outcome: 'invalid', reason: 'leaves-malformed' }
  const tokenIds = tokenListsOf(completion.choices)?.flat() ?? []
  // Before any hashing: a peer could make a long list for nothing.
  const isSame =
    leaves.length === tokenIds.length &&
    leaves.every((leaf, position) => leaf.tokenId === tokenIds[position])
  if (!isSame) return { outcome: 'invalid', reason: 'leaves-tokens-differ' }
  if (rootOfLeaves(leaves) !== receipt.root) {
    return { outcome: 'invalid', reason: 'leaves-root-differs' }
  }
  return { outcome: 'valid', leaves }
}

/** One leaf and the hashes that lead from it to the root. */
export interface LeafOpening {
  /** 0-based over the tokens of all choices. */
  readonly position: number
  readonly leaf: Leaf
  readonly proof: readonly Uint8Array[]
}

export function openLeaves(
  leaves: readonly Leaf[],
  positions: readonly number[],
): readonly LeafOpening[] {
  const hashes = hashesOf(leaves)
  return positions.map(position => {
    const leaf = leaves[position]
    if (leaf === undefined) throw new RangeError(`There is no leaf ${position}`)
    return { position, leaf, proof: inclusionProof(hashes, position) }
  })
}

/** Whether the leaf is the one at its position under the receipt's root. */
export function isOpeningOf(opening: LeafOpening, receipt: Receipt): boolean {
  const root = rootOfProof({
    leafHash: hashLeaf(leafBytes(opening.position, opening.leaf)),
    index: opening.position,
    count: receipt.counts.completionTokens,
    proof: opening.proof,
  })
  return root !== undefined && Buffer.from(root).toString('hex') === receipt.root
}

function hashesOf(leaves: readonly Leaf[]): readonly Uint8Array[] {
  return leaves.map((leaf, position) => hashLeaf(leafBytes(position, leaf)))
}

function decoded(bytes: Uint8Array): readonly Leaf[] | undefined {
  try {
    return decodeLeaves(bytes)
  } catch (error) {
    if (error instanceof OperationError) return undefined
    throw error
  }
}
