import { createHash, type Hash, hash } from 'node:crypto'
import { assert } from './assert.ts'

/**
 * Merkle trees as in RFC 6962 §2.1: a leaf is hashed behind 0x00, an inner node behind 0x01, so
 * that neither passes for the other; the left subtree is the largest full one.
 */
const leafDomain = Uint8Array.of(0x00)
const nodeDomain = Uint8Array.of(0x01)

export function hashLeaf(bytes: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([leafDomain, bytes]))
}

/**
 * For a leaf whose bytes come in pieces, or are too many to be copied: `update` with them, then
 * `digest`.
 */
export function leafHasher(): Hash {
  return createHash('sha256').update(leafDomain)
}

export function merkleRoot(leafHashes: readonly Uint8Array[]): Uint8Array {
  if (leafHashes.length === 0) return sha256(new Uint8Array())
  let level = leafHashes
  while (level.length > 1) level = levelAbove(level)
  return present(level[0])
}

/** The hashes that lead from a leaf to the root, the leaf's sibling first. */
export function inclusionProof(
  leafHashes: readonly Uint8Array[],
  index: number,
): readonly Uint8Array[] {
  if (index < 0 || index >= leafHashes.length) throw new RangeError(`There is no leaf ${index}`)
  const proof: Uint8Array[] = []
  let level = leafHashes
  for (let at = index; level.length > 1; at = Math.floor(at / 2)) {
    const sibling = level[at % 2 === 0 ? at + 1 : at - 1]
    // The last node of an odd level has none: it rises as it is.
    if (sibling !== undefined) proof.push(sibling)
    level = levelAbove(level)
  }
  return proof
}

export interface Inclusion {
  readonly leafHash: Uint8Array
  readonly index: number
  /** Leaves of the whole tree. */
  readonly count: number
  readonly proof: readonly Uint8Array[]
}

/** The root that the proof leads to; undefined when it has too few or too many hashes. */
export function rootOfProof({ leafHash, index, count, proof }: Inclusion): Uint8Array | undefined {
  if (index < 0 || index >= count) return undefined
  let reached = leafHash
  let at = index
  let used = 0
  for (let width = count; width > 1; width = Math.ceil(width / 2)) {
    const hasSibling = at % 2 === 1 || at + 1 < width
    if (hasSibling) {
      const sibling = proof[used]
      if (sibling === undefined) return undefined
      used += 1
      reached = at % 2 === 1 ? hashNode(sibling, reached) : hashNode(reached, sibling)
    }
    at = Math.floor(at / 2)
  }
  return used === proof.length ? reached : undefined
}

function levelAbove(level: readonly Uint8Array[]): readonly Uint8Array[] {
  const above: Uint8Array[] = []
  for (let index = 0; index < level.length; index += 2) {
    const left = present(level[index])
    const right = level[index + 1]
    above.push(right === undefined ? left : hashNode(left, right))
  }
  return above
}

function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([nodeDomain, left, right]))
}

/** In one call: a hash object per node would take three times as long. */
function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

function present(node: Uint8Array | undefined): Uint8Array {
  assert(node !== undefined, 'A level of a tree has no gaps')
  return node
}
