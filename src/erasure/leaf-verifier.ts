import type { Hash } from 'node:crypto'
import { leafHasher, merkleRoot } from '../std/merkle.ts'
import { leafBytes, leafCountOf, leafHashBytes } from './leaves.ts'

export interface ExpectedShard {
  readonly shardBytes: number
  /** From whom is trusted: the manifest. */
  readonly root: Uint8Array
  /** From whom is not: they are checked against the root. */
  readonly leafHashes: readonly Uint8Array[]
  /**
   * Where the bytes begin that come now: a border of leaves. For what is left of a shard when its
   * first provider has gone away. @default 0
   */
  readonly fromByte?: number
}

/** Why bytes are not those of the shard. */
export interface LeafFault {
  readonly reason: 'leaf-differs' | 'too-long' | 'too-short'
  /** Everything before has been checked and is right: a border of leaves, or the shard's end. */
  readonly atByte: number
}

/**
 * Undefined when the hashes are not as many as the shard has leaves or do not lead to its root.
 * @throws RangeError when `fromByte` is no border of leaves
 */
export function createLeafVerifier(expected: ExpectedShard): LeafVerifier | undefined {
  const { shardBytes, root, leafHashes, fromByte = 0 } = expected
  if (fromByte % leafBytes !== 0 || fromByte < 0 || fromByte > shardBytes) {
    throw new RangeError(`Leaves do not begin at byte ${fromByte}`)
  }
  if (leafHashes.length !== leafCountOf(shardBytes)) return undefined
  if (leafHashes.some(hash => hash.length !== leafHashBytes)) return undefined
  if (Buffer.compare(merkleRoot(leafHashes), root) !== 0) return undefined
  return new LeafVerifier(leafHashes, shardBytes, fromByte)
}

/**
 * Checks a shard leaf by leaf while it streams in, in pieces of any size. Holds no bytes of it,
 * only the state of one hash. Made by `createLeafVerifier`.
 */
export class LeafVerifier {
  readonly #leafHashes: readonly Uint8Array[]
  readonly #shardBytes: number
  #hasher: Hash = leafHasher()
  #taken: number
  #fault: LeafFault | undefined

  constructor(leafHashes: readonly Uint8Array[], shardBytes: number, fromByte: number) {
    this.#leafHashes = leafHashes
    this.#shardBytes = shardBytes
    this.#taken = fromByte
  }

  /** Everything before this byte has been checked. */
  get verifiedBytes(): number {
    if (this.#fault !== undefined) return this.#fault.atByte
    return this.#taken === this.#shardBytes ? this.#taken : this.#leafStart()
  }

  /** The next bytes. Tells the first fault, at once where a leaf is whole, and keeps telling it. */
  take(piece: Uint8Array): LeafFault | undefined {
    let rest = piece
    while (rest.length > 0 && this.#fault === undefined) {
      if (this.#taken === this.#shardBytes) return this.#fail('too-long', this.#shardBytes)
      const leafEnd = Math.min(this.#leafStart() + leafBytes, this.#shardBytes)
      const part = rest.subarray(0, leafEnd - this.#taken)
      rest = rest.subarray(part.length)
      this.#hasher.update(part)
      this.#taken += part.length
      if (this.#taken === leafEnd) this.#closeLeaf(leafEnd)
    }
    return this.#fault
  }

  /** There is no more. */
  end(): LeafFault | undefined {
    if (this.#fault !== undefined || this.#taken === this.#shardBytes) return this.#fault
    return this.#fail('too-short', this.#leafStart())
  }

  #closeLeaf(leafEnd: number): void {
    const leaf = leafCountOf(leafEnd) - 1
    const digest = this.#hasher.digest()
    this.#hasher = leafHasher()
    const expected = this.#leafHashes[leaf]
    if (expected !== undefined && digest.equals(expected)) return
    this.#fail('leaf-differs', leaf * leafBytes)
  }

  /** Of the leaf that the next byte belongs to. */
  #leafStart(): number {
    return this.#taken - (this.#taken % leafBytes)
  }

  #fail(reason: LeafFault['reason'], atByte: number): LeafFault {
    this.#fault = { reason, atByte }
    return this.#fault
  }
}
