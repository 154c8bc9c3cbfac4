import { blockTokens } from '../../../../key/state-layout.ts'
import type { ResidentPrefix } from '../../state/native-state.ts'

/** What a sequence holds now, told by what is new: whole prompts would cross again per block. */
export interface ResidentChange {
  readonly slot: number
  readonly partition: string
  /** Leading tokens that stay. */
  readonly keep: number
  readonly added: readonly number[]
}

const nothing: ResidentPrefix = { partition: '', tokenIds: [] }

/** What sequences hold, as last told. On both sides of the process border. */
export class ResidentMirror {
  readonly #slots = new Map<number, ResidentPrefix>()

  /** Notes what a sequence holds; the change to tell the other side, if it is one. */
  note(slot: number, resident: ResidentPrefix): ResidentChange | undefined {
    const known = this.#slots.get(slot) ?? nothing
    const keep = commonTokens(known.tokenIds, resident.tokenIds)
    const added = resident.tokenIds.slice(keep)
    const isSame = added.length === 0 && keep === known.tokenIds.length
    if (isSame && known.partition === resident.partition) return undefined
    this.#slots.set(slot, resident)
    return { slot, partition: resident.partition, keep, added }
  }

  apply({ slot, partition, keep, added }: ResidentChange): void {
    const known = this.#slots.get(slot) ?? nothing
    this.#slots.set(slot, { partition, tokenIds: [...known.tokenIds.slice(0, keep), ...added] })
  }

  clear(): void {
    this.#slots.clear()
  }

  /** Leading tokens of `tokenIds` that one sequence holds: whole blocks. */
  residentTokens(tokenIds: readonly number[], partition: string): number {
    let longest = 0
    for (const resident of this.#slots.values()) {
      if (resident.partition !== partition) continue
      longest = Math.max(longest, commonTokens(resident.tokenIds, tokenIds))
    }
    return longest - (longest % blockTokens)
  }
}

function commonTokens(left: readonly number[], right: readonly number[]): number {
  const limit = Math.min(left.length, right.length)
  let common = 0
  while (common < limit && left[common] === right[common]) common += 1
  return common
}
