import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import { hashLeafOf, leafBytes, leafCountOf, leafHashBytes } from '../../../erasure/leaves.ts'
import { splitObject } from '../../../erasure/shards.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { servedManifestsMax } from '../../../limits.ts'
import { Lru } from '../../../std/lru.ts'
import { merkleRoot } from '../../../std/merkle.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { ShardAsk } from '../../../wire/block-messages.ts'
import {
  decodeManifest,
  type Manifest,
  rootOf,
  type StripeId,
  shardBytesIn,
  stripeIdOf,
} from '../../../wire/manifest.ts'
import type { BlockMemory } from '../../block-memory.ts'
import type { LocalBlocks, OwnStripes } from './own-stripes.ts'
import { type ShardSource, sourceOf } from './shard-source.ts'

export interface OwnShardsComponents {
  readonly own: OwnStripes
  readonly localBlocks: LocalBlocks
  readonly coder: ShardCoder
  readonly memory: BlockMemory
}

/** The hashes of the leaves of one shard, one behind the other, and its bytes. */
interface ProvenShard {
  readonly leafHashes: Uint8Array
  readonly parts: readonly Uint8Array[]
}

/** A sealed block that shards are being cut from. */
interface OpenBlock {
  readonly sealed: Promise<Uint8Array | undefined>
  /** What it was read into. */
  memory: Uint8Array | undefined
  users: number
}

/** The data shards of this node's own sealed blocks that have a manifest, cut when asked for. */
export class OwnShards {
  readonly #parts: OwnShardsComponents
  /** Several shards of one block are often asked for together. */
  readonly #blocks = new Map<StripeId, OpenBlock>()
  readonly #manifests = new Lru<StripeId, Manifest>(servedManifestsMax)

  constructor(components: OwnShardsComponents) {
    this.#parts = components
  }

  /**
   * Undefined when the block is not here, or is another one than the manifest speaks of. What is
   * opened must be released.
   */
  async open({ stripe, index }: ShardAsk, options: AbortOptions): Promise<ShardSource | undefined> {
    const { own } = this.#parts
    const key = own.keyOf(stripe)
    const manifest = key === undefined ? undefined : this.#manifestOf(stripe, key)
    if (key === undefined || manifest === undefined || index >= manifest.dataShards) {
      return undefined
    }
    const block = this.#use(stripe, key)
    let source: ShardSource | undefined
    try {
      const [sealed, known] = await Promise.all([block.sealed, own.leafHashesOf(key, options)])
      if (sealed?.length === manifest.objectBytes) {
        const shard =
          knownShard({ manifest, index, sealed }, known) ??
          (await this.#hashed({ manifest, index, sealed }, options))
        if (shard !== undefined) source = sourceOf(shard.leafHashes, ...shard.parts)
      }
    } finally {
      if (source === undefined) this.#release(stripe, block)
    }
    if (source !== undefined) return { ...source, release: () => this.#release(stripe, block) }
    // Sealed anew, or gone: the manifest speaks of what is not here any more. Another may by now.
    if (own.keyOf(stripe) === key) await own.remove(key)
    return undefined
  }

  #manifestOf(stripe: StripeId, key: LookupKey): Manifest | undefined {
    const bytes = this.#parts.own.manifestOf(key)
    if (bytes === undefined) return undefined
    const known = this.#manifests.get(stripe)
    if (known !== undefined) return known
    const { manifest, body } = decodeManifest(bytes)
    // Another one may be put in its place at this moment.
    if (stripeIdOf(body) === stripe) this.#manifests.set(stripe, manifest, 1)
    return manifest
  }

  /** For a block whose hashes are lost. */
  async #hashed(
    { manifest, index, sealed }: WantedShard,
    options: AbortOptions,
  ): Promise<ProvenShard | undefined> {
    const shard = splitObject(sealed, manifest.dataShards)[index]
    const [tree] = shard === undefined ? [] : await this.#parts.coder.hash([shard], options)
    if (shard === undefined || tree === undefined) return undefined
    if (Buffer.compare(tree.root, rootOf(manifest, index)) !== 0) return undefined
    return { leafHashes: Buffer.concat(tree.leafHashes), parts: [shard] }
  }

  /** Whoever asks while the block is being read or sent shares what was read. */
  #use(stripe: StripeId, key: LookupKey): OpenBlock {
    const open = this.#blocks.get(stripe)
    if (open !== undefined) {
      open.users += 1
      return open
    }
    const memoryFor = (bytes: number): Uint8Array => {
      block.memory = this.#parts.memory.take(bytes)
      return block.memory
    }
    const block: OpenBlock = {
      // In a turn of its own: it may ask for memory at once.
      sealed: Promise.resolve().then(() => this.#parts.localBlocks.sealed(key, memoryFor)),
      memory: undefined,
      users: 1,
    }
    this.#blocks.set(stripe, block)
    return block
  }

  #release(stripe: StripeId, block: OpenBlock): void {
    block.users -= 1
    if (block.users > 0) return
    if (this.#blocks.get(stripe) === block) this.#blocks.delete(stripe)
    const giveBack = (): void => {
      if (block.memory !== undefined) this.#parts.memory.give(block.memory)
    }
    // Whoever went away early leaves a reader that still writes there.
    block.sealed.then(giveBack, giveBack)
  }
}

interface WantedShard {
  readonly manifest: Manifest
  readonly index: number
  readonly sealed: Uint8Array
}

/**
 * The shard under the hashes that were kept of it, if they are those of the manifest and its first
 * leaf is as it was. That is enough: the disk's own errors were noticed when the block was read,
 * and of a block that was sealed anew no leaf is the same. Undefined when nobody knows.
 */
function knownShard(
  { manifest, index, sealed }: WantedShard,
  known: Uint8Array | undefined,
): ProvenShard | undefined {
  const shardBytes = shardBytesIn(manifest)
  const hashBytes = leafCountOf(shardBytes) * leafHashBytes
  const part = sealed.subarray(index * shardBytes, (index + 1) * shardBytes)
  if (known?.length !== manifest.dataShards * hashBytes || part.length < leafBytes) return undefined
  const leafHashes = known.subarray(index * hashBytes, (index + 1) * hashBytes)
  const leaves: Uint8Array[] = []
  for (let start = 0; start < hashBytes; start += leafHashBytes) {
    leaves.push(leafHashes.subarray(start, start + leafHashBytes))
  }
  const isOfManifest = Buffer.compare(merkleRoot(leaves), rootOf(manifest, index)) === 0
  const isAsItWas = leaves[0] !== undefined && Buffer.compare(hashLeafOf(part, 0), leaves[0]) === 0
  if (!isOfManifest || !isAsItWas) return undefined
  return { leafHashes, parts: [part, new Uint8Array(shardBytes - part.length)] }
}
