import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import { hashLeafOf, leafBytes, leafCountOf, leafHashBytes } from '../../../erasure/leaves.ts'
import { splitObject } from '../../../erasure/shards.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { merkleRoot } from '../../../std/merkle.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { ShardAsk } from '../../../wire/block-messages.ts'
import {
  decodeManifest,
  type Manifest,
  rootOf,
  type StripeId,
  shardBytesIn,
} from '../../../wire/manifest.ts'
import type { LocalBlocks, OwnStripes } from './own-stripes.ts'
import { type ShardSource, sourceOf } from './shard-source.ts'

export interface OwnShardsComponents {
  readonly own: OwnStripes
  readonly localBlocks: LocalBlocks
  readonly coder: ShardCoder
}

/** The hashes of the leaves of one shard, one behind the other, and its bytes. */
interface ProvenShard {
  readonly leafHashes: Uint8Array
  readonly parts: readonly Uint8Array[]
}

/** The data shards of this node's own sealed blocks that have a manifest, cut when asked for. */
export class OwnShards {
  readonly #parts: OwnShardsComponents
  /** Blocks being read: several shards of one are often asked for together. */
  readonly #reading = new Map<StripeId, Promise<Uint8Array | undefined>>()

  constructor(components: OwnShardsComponents) {
    this.#parts = components
  }

  /** Undefined when the block is not here, or is another one than the manifest speaks of. */
  async open({ stripe, index }: ShardAsk, options: AbortOptions): Promise<ShardSource | undefined> {
    const { own } = this.#parts
    const key = own.keyOf(stripe)
    const manifestBytes = key === undefined ? undefined : own.manifestOf(key)
    if (key === undefined || manifestBytes === undefined) return undefined
    const { manifest } = decodeManifest(manifestBytes)
    if (index >= manifest.dataShards) return undefined
    const [sealed, known] = await Promise.all([
      this.#read(stripe, key),
      own.leafHashesOf(key, options),
    ])
    if (sealed?.length === manifest.objectBytes) {
      const shard =
        knownShard({ manifest, index, sealed }, known) ??
        (await this.#hashed({ manifest, index, sealed }, options))
      if (shard !== undefined) return sourceOf(shard.leafHashes, ...shard.parts)
    }
    // Sealed anew, or gone: the manifest speaks of what is not here any more. Another may by now.
    if (own.keyOf(stripe) === key) await own.remove(key)
    return undefined
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

  /** Whoever asks while the block is being read shares what is read. */
  #read(stripe: StripeId, key: LookupKey): Promise<Uint8Array | undefined> {
    const reading = this.#reading.get(stripe)
    if (reading !== undefined) return reading
    const begun = this.#parts.localBlocks.sealed(key).finally(() => this.#reading.delete(stripe))
    this.#reading.set(stripe, begun)
    return begun
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
