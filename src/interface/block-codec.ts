import type { BlockHash, StateKind } from '../key/block-hash.ts'
import type { Startable } from '../std/lifecycle.ts'
import type { BlockRows } from './kv-state.ts'

/**
 * Rows ⇄ sealed blocks (spec/blocks.md), off the node's event loop: a block of a large model takes
 * tens of milliseconds to seal or to check. Implementations: worker threads, and in place (for
 * small blocks and the simulator). `block-codec.compliance.ts` is the contract in code.
 *
 * Bytes in shared memory are not copied on their way to a thread; what comes back lies there.
 */
export interface BlockCodec extends Startable {
  /**
   * The block sealed under its hash: opaque to whoever does not know the prompt. With the nonce of
   * the seal that the very same rows came out of, the bytes are those of that seal again.
   * @throws block_invalid, when a number is not finite: peers would refuse the block
   * @throws store_failed (retryable), when too much waits or the thread died
   */
  seal(block: BlockIdentity, rows: BlockRows, nonce?: Uint8Array): Promise<Uint8Array>
  /**
   * Opens a sealed block, and checks that it is this block of this model: numeric class, layout,
   * position, token ids one by one, sizes, and that every number is finite.
   * @throws block_invalid, naming what is wrong
   * @throws store_failed (retryable), as `seal`
   */
  open(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows>
  /**
   * The same in the sealed block's own memory where that is shared, whether it opens or not: for
   * whoever has no other use for it. Half of the time that opening takes is making room for rows.
   * @throws as `open`
   */
  openInPlace(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows>
}

/** Everything that a block must agree with before its rows are used. */
export interface BlockIdentity {
  readonly hash: BlockHash
  readonly kind: StateKind
  /** 0-based: tokens `index * 128` to `index * 128 + 127`. */
  readonly index: number
  /** The block's 128 token ids. */
  readonly tokenIds: readonly number[]
}
