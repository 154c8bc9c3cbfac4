import { blockTokens } from '../../../key/state-layout.ts'
import { unauditedBlocksMax } from '../../../limits.ts'
import type { PromptBlocks } from '../prompt-blocks.ts'
import { type BlockOrigin, isTrusted, ownOrigin } from '../tiers/block-note.ts'

/** Where the engine keeps the resident state of a scope for now, and what that rests on. */
export interface Residence {
  readonly partition: string
  readonly origins: ResidentOrigins
}

interface Resident {
  readonly origin: BlockOrigin
  /** Name of the block before it, or of the root. */
  readonly parent: string
}

/**
 * What the engine's resident state rests on, in the partitions of one epoch. An engine does not
 * know that a block came from a peer, or was computed on top of one that did: this remembers it, so
 * that what is exported later, or generated, is not taken for this node's own.
 *
 * Only what is not this node's own is remembered; a node that restarts has nothing resident.
 */
export class ResidentOrigins {
  /** Those noted or asked for longest ago come first. */
  readonly #residents = new Map<string, Resident>()
  readonly #children = new Map<string, Set<string>>()

  set(blocks: PromptBlocks, index: number, origin: BlockOrigin): void {
    const key = blocks.keys[index]
    if (key === undefined || origin.type === 'own') return
    this.#remove(key)
    const parent = parentOf(blocks, index)
    this.#residents.set(key, { origin, parent })
    const siblings = this.#children.get(parent) ?? new Set()
    this.#children.set(parent, siblings.add(key))
    if (this.#residents.size <= unauditedBlocksMax) return
    const [oldest] = this.#residents.keys()
    if (oldest !== undefined) this.#remove(oldest)
  }

  /**
   * The origins of a prompt's leading blocks that were resident, the last one in part perhaps. One
   * that nothing is known of was computed on top of the one before it.
   */
  of(blocks: PromptBlocks, cachedTokens: number): readonly BlockOrigin[] {
    const whole = Math.floor(cachedTokens / blockTokens)
    let before: BlockOrigin = ownOrigin
    const origins = blocks.keys.slice(0, whole).map(key => {
      before = this.#use(key)?.origin ?? basedOn(before)
      return before
    })
    if (cachedTokens % blockTokens === 0) return origins
    return [...origins, this.#partly(parentOf(blocks, whole), before)]
  }

  revise(change: (origin: BlockOrigin) => BlockOrigin | undefined): void {
    for (const [key, resident] of this.#residents) {
      const origin = change(resident.origin)
      if (origin !== undefined) this.#residents.set(key, { ...resident, origin })
    }
  }

  /**
   * Of a block whose first tokens were resident as those of another one, which goes on differently:
   * nobody tells which one that was, so that the worst of those in its place is taken.
   */
  #partly(parent: string, before: BlockOrigin): BlockOrigin {
    let worst = before
    for (const key of this.#children.get(parent) ?? []) {
      const origin = this.#residents.get(key)?.origin ?? before
      if (worst.type === 'own' || !isTrusted(origin)) worst = origin
      if (!isTrusted(worst)) break
    }
    return basedOn(worst)
  }

  #use(key: string): Resident | undefined {
    const resident = this.#residents.get(key)
    if (resident === undefined) return undefined
    this.#residents.delete(key)
    this.#residents.set(key, resident)
    return resident
  }

  #remove(key: string): void {
    const resident = this.#residents.get(key)
    if (resident === undefined) return
    this.#residents.delete(key)
    const siblings = this.#children.get(resident.parent)
    siblings?.delete(key)
    if (siblings?.size === 0) this.#children.delete(resident.parent)
  }
}

/** The origin of what is computed here on top of a block. */
export function basedOn(before: BlockOrigin): BlockOrigin {
  return before.type === 'own' ? before : { ...before, type: 'based' }
}

function parentOf({ root, keys }: PromptBlocks, index: number): string {
  return keys[index - 1] ?? root
}
