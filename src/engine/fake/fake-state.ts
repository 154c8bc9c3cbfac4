import type {
  BlockRange,
  BlockRows,
  PrefixUse,
  StateAccess,
  StateOffer,
} from '../../interface/kv-state.ts'
import { blockBytes, blockTokens, type StateLayout } from '../../key/state-layout.ts'
import { fakeResidentsMax } from '../../limits.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { hashOf } from './fake-language.ts'

/** A prompt whose state the fake engine "holds". */
interface Resident {
  readonly partition: string
  readonly tokenIds: readonly number[]
  readonly blocks: readonly BlockRows[]
}

/** How a generation begins. */
export interface FakePrefix {
  /** Tokens that need not be computed. */
  readonly cachedTokens: number
  readonly importedTokens: number
  /** The rows of all whole blocks, those that were imported as they came. */
  readonly blocks: readonly BlockRows[]
  /** Whether an imported block was not what the engine would have computed. */
  readonly isPoisoned: boolean
}

/**
 * KV state of an engine that has none: the rows are a hash of all tokens up to theirs, so that they
 * are equal wherever they are computed, differ after any other token, and can be checked. As with a
 * real engine, wrong rows are believed, and the answer is another one.
 */
export class FakeState implements StateAccess {
  readonly layout: StateLayout
  /** The one that was used last is at the end. */
  #residents: readonly Resident[] = []

  constructor(rowBytes: number) {
    const layer = { keyBytes: rowBytes, valueBytes: rowBytes }
    this.layout = { layers: [layer, layer], settings: 'fake' }
  }

  residentTokens(tokenIds: readonly number[], partition: string): number {
    return this.#longest(tokenIds, partition).length * blockTokens
  }

  async exportBlocks(
    tokenIds: readonly number[],
    { from, to }: BlockRange,
    options: AbortOptions & { readonly partition: string },
  ): Promise<readonly BlockRows[] | undefined> {
    options.signal.throwIfAborted()
    const blocks = this.#longest(tokenIds, options.partition)
    return blocks.length < to ? undefined : blocks.slice(from, to)
  }

  async recomputeBlock(
    tokenIds: readonly number[],
    before: StateOffer,
    { signal }: AbortOptions,
  ): Promise<BlockRows> {
    const offered = await takeOffer(before, signal)
    const count = tokenIds.length / blockTokens
    const salt = this.#isTrue(tokenIds, offered) && offered.length === count - 1 ? '' : 'poisoned'
    return this.#rows(tokenIds, count - 1, salt)
  }

  /** What a generation begins with: the longest of what is resident and what is offered. */
  async begin(
    promptTokens: readonly number[],
    partition: string,
    { use, signal }: AbortOptions & { readonly use: PrefixUse | undefined },
  ): Promise<FakePrefix> {
    const whole = Math.floor(Math.max(0, promptTokens.length - 1) / blockTokens)
    const resident = this.#longest(promptTokens, partition).slice(0, whole)
    const offers = use?.offer !== undefined && use.offer.tokens > resident.length * blockTokens
    const offered = offers && use.offer ? (await takeOffer(use.offer, signal)).slice(0, whole) : []
    const isImported = offered.length > resident.length
    const known = isImported ? offered : resident
    const isPoisoned = !this.#isTrue(promptTokens, known)
    const computed = Array.from({ length: whole - known.length }, (_, index) =>
      this.#rows(promptTokens, known.length + index, isPoisoned ? 'poisoned' : ''),
    )
    const blocks = [...known, ...computed]
    this.#hold({ partition, tokenIds: promptTokens.slice(0, whole * blockTokens), blocks })
    return {
      cachedTokens: known.length * blockTokens,
      importedTokens: isImported ? known.length * blockTokens : 0,
      blocks,
      isPoisoned,
    }
  }

  clear(): void {
    this.#residents = []
  }

  #hold(resident: Resident): void {
    const others = this.#residents.filter(
      ({ partition, tokenIds }) =>
        partition !== resident.partition || commonBlocks(tokenIds, resident.tokenIds) === 0,
    )
    this.#residents = [...others, resident].slice(-fakeResidentsMax)
  }

  #longest(tokenIds: readonly number[], partition: string): readonly BlockRows[] {
    let longest: readonly BlockRows[] = []
    for (const resident of this.#residents) {
      if (resident.partition !== partition) continue
      const common = commonBlocks(resident.tokenIds, tokenIds)
      if (common > longest.length) longest = resident.blocks.slice(0, common)
    }
    return longest
  }

  #isTrue(tokenIds: readonly number[], blocks: readonly BlockRows[]): boolean {
    return blocks.every(
      (rows, index) => Buffer.compare(rows, this.#rows(tokenIds, index, '')) === 0,
    )
  }

  /** Finite half-precision numbers, from the hash of everything up to the block's end. */
  #rows(tokenIds: readonly number[], index: number, salt: string): BlockRows {
    const bytes = Buffer.from(new SharedArrayBuffer(blockBytes(this.layout)))
    let state = hashOf(`${salt}${tokenIds.slice(0, (index + 1) * blockTokens).join(',')}`) | 1
    for (let at = 0; at < bytes.length; at += 2) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      // Exponents of 0 to 15 of 31: neither infinite nor no number.
      bytes.writeUInt16LE(state & 0xbfff, at)
    }
    return new Uint8Array(bytes.buffer)
  }
}

async function takeOffer(offer: StateOffer, signal: AbortSignal): Promise<readonly BlockRows[]> {
  const taken: BlockRows[] = []
  for await (const rows of offer.blocks({ signal })) taken.push(rows)
  signal.throwIfAborted()
  return taken
}

function commonBlocks(left: readonly number[], right: readonly number[]): number {
  const limit = Math.min(left.length, right.length)
  let common = 0
  while (common < limit && left[common] === right[common]) common += 1
  return Math.floor(common / blockTokens)
}
