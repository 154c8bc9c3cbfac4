import type { BlockIdentity } from '../../interface/block-codec.ts'
import type { BlockHash } from '../../key/block-hash.ts'
import { blockBytes } from '../../key/state-layout.ts'
import { areFinite } from '../../wire/block/finite-rows.ts'
import { openBlock, openBlockInPlace, sealBlock, sealBytes } from '../../wire/block/sealed-block.ts'
import { blockInvalid, checkBlock, encodeBlockHead } from '../../wire/block/state-block.ts'

/**
 * What sealing and opening need to know of a block, small enough to be sent to a thread: its head
 * stands for all that it must agree with.
 */
export interface BlockForm {
  readonly hash: BlockHash
  readonly head: Uint8Array
  readonly rowBytes: number
}

/** @throws RangeError for what no block can hold */
export function blockForm(block: BlockIdentity): BlockForm {
  const head = encodeBlockHead(block)
  return { hash: block.hash, head, rowBytes: blockBytes(block.kind.layout) }
}

/** Bytes of the block when it is sealed. */
export function sealedBytes({ head, rowBytes }: BlockForm): number {
  return head.length + rowBytes + sealBytes
}

/**
 * @throws block_invalid where a number is not finite: peers would blame this node for the block
 * @throws RangeError for rows of another size
 */
export function sealRows(form: BlockForm, rows: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (rows.length !== form.rowBytes) {
    throw new RangeError(`The rows have ${rows.length} bytes, not ${form.rowBytes}`)
  }
  if (!areFinite(rows)) throw blockInvalid('a number of it is not finite')
  return sealBlock(form.hash, [form.head, rows], nonce)
}

/** @throws block_invalid, naming what is wrong */
export function openRows(form: BlockForm, sealed: Uint8Array): Uint8Array {
  return checkBlock(form.head, openBlock(form.hash, sealed, plainBytes(form)))
}

/** The same in the memory of what was sealed, which is lost either way. @throws block_invalid */
export function openRowsInPlace(form: BlockForm, sealed: Uint8Array): Uint8Array {
  return checkBlock(form.head, openBlockInPlace(form.hash, sealed, plainBytes(form)))
}

function plainBytes({ head, rowBytes }: BlockForm): number {
  return head.length + rowBytes
}
