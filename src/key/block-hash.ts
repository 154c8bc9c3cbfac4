import { createHash } from 'node:crypto'
import type { Brand } from '../std/brand.ts'
import type { LookupKey } from './response-key.ts'
import type { Scope } from './scope.ts'
import {
  blockTokens,
  layoutFault,
  layoutName,
  type StateLayout,
  textFault,
} from './state-layout.ts'

/**
 * SHA-256 that names a block of KV state *and everything before it*: 64 hex digits. Whoever knows
 * it can open the block; it stays on this node.
 */
export type BlockHash = Brand<string, 'BlockHash'>

/** What the state of a model is made of: equal on two nodes that may exchange blocks. */
export interface StateKind {
  /** As `EngineModel.numericClass`: it names the model, the build and the hardware kind. */
  readonly numericClass: string
  readonly layout: StateLayout
}

/**
 * Why state of this kind cannot travel in blocks, to be read behind "because"; undefined when it
 * can.
 */
export function kindFault({ numericClass, layout }: StateKind): string | undefined {
  return textFault('numeric class', numericClass) ?? layoutFault(layout)
}

/**
 * The parent of a scope's first blocks, spec/keys.md §6: SHA-256("hyperspace/block-root/1" ‖ scope
 * salt ‖ text(numeric class) ‖ text(layout name)), a text being its length in bytes as u32-LE and
 * its UTF-8. State of another numeric class has another name, so that it is never even found.
 */
export function blockRoot(scope: Scope, kind: StateKind): BlockHash {
  const hash = createHash('sha256').update('hyperspace/block-root/1').update(scope.salt)
  for (const text of [kind.numericClass, layoutName(kind.layout)]) {
    const bytes = Buffer.from(text, 'utf8')
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    hash.update(length).update(bytes)
  }
  return hash.digest('hex') as BlockHash
}

/**
 * The names of a prompt's whole blocks, first to last: SHA-256("hyperspace/block/1" ‖ parent ‖
 * token ids as u32-LE) each. `first`: the parent of the first one, which is the root, or the block
 * before where the tokens are the rest of a prompt.
 */
export function blockHashes(first: BlockHash, tokenIds: readonly number[]): readonly BlockHash[] {
  const hashes: BlockHash[] = []
  let parent = first
  for (let end = blockTokens; end <= tokenIds.length; end += blockTokens) {
    const ids = Buffer.alloc(blockTokens * 4)
    for (let index = 0; index < blockTokens; index++) {
      ids.writeUInt32LE(tokenIds[end - blockTokens + index] ?? 0, index * 4)
    }
    const hash = createHash('sha256')
      .update('hyperspace/block/1')
      .update(Buffer.from(parent, 'hex'))
    parent = hash.update(ids).digest('hex') as BlockHash
    hashes.push(parent)
  }
  return hashes
}

/** The only form of a block's name that leaves the node: SHA-256("hyperspace/lookup/1" ‖ hash). */
export function blockLookupKey(block: BlockHash): LookupKey {
  const hash = createHash('sha256').update('hyperspace/lookup/1').update(Buffer.from(block, 'hex'))
  return hash.digest('hex') as LookupKey
}
