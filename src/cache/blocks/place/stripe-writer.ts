import type { CodedObject, ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import { splitObject } from '../../../erasure/shards.ts'
import type { PlacementOutcome } from '../../../interface/metrics.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import type { ReceiptSigner } from '../../../trust/receipt.ts'
import { rootOf } from '../../../wire/manifest.ts'
import type { CodedStripe, OwnStripes } from '../hold/own-stripes.ts'
import { firstShards, indicesOf } from '../shard-mask.ts'
import { issueStripe, type Stripe } from '../stripe.ts'
import { encodeBlock, joinLeaves, joinRoots } from '../stripe-coding.ts'
import type { PlaceJob } from './place-queue.ts'
import { type Code, planCode } from './placement.ts'
import type { StripePlacer } from './stripe-placer.ts'

export interface StripeWriterComponents {
  readonly coder: ShardCoder
  readonly signer: ReceiptSigner
  readonly placer: StripePlacer
  readonly own: OwnStripes
  readonly clock: Clock
  /** Others can have the block from now on. */
  readonly onPlaced: (stripe: Stripe) => void
}

type NewBlock = Omit<Extract<PlaceJob, { readonly type: 'place' }>, 'type'>

/** The block is one part, and nobody else holds it. */
const soleCode: Code = { dataShards: 1, shards: 1 }

/** Codes sealed blocks, states what they are, and gives their shards to peers. */
export class StripeWriter {
  readonly #parts: StripeWriterComponents

  constructor(components: StripeWriterComponents) {
    this.#parts = components
  }

  /** A stripe of its own. It is of use when as many peers hold shards as are needed. */
  async write(block: NewBlock, { signal }: AbortOptions): Promise<PlacementOutcome> {
    const { placer, own, onPlaced } = this.#parts
    const candidates = placer.candidates()
    const code = planCode(block.sealed.length, candidates.length)
    const { stripe, encoded, leafHashes } = await this.#issue(block, code, { signal })
    // Whoever asks can have it from this node from now on, whether or not others hold it.
    await own.put({ stripe, leafHashes }, false)
    onPlaced(stripe)
    if (candidates.length === 0) return 'alone'
    const indices = indicesOf(firstShards(code.shards))
    const placed = await placer.place({ stripe, encoded, indices, holders: [] }, { signal })
    if (placed.size < code.dataShards) {
      await placer.drop(stripe, placed, signal)
      return 'refused'
    }
    await own.put({ stripe, leafHashes }, true)
    return 'placed'
  }

  /** Offers the block itself: under the manifest that it is of, or one of its own. */
  async keep(
    block: NewBlock,
    known: CodedStripe | undefined,
    options: AbortOptions,
  ): Promise<void> {
    const coded = known ?? (await this.#issue(block, soleCode, options))
    await this.#parts.own.put(coded, true)
  }

  /** What a stripe was coded to, if its manifest speaks of these very bytes. */
  async codedAs(
    stripe: Stripe,
    sealed: Uint8Array,
    options: AbortOptions,
  ): Promise<CodedStripe | undefined> {
    const { manifest } = stripe
    if (manifest.objectBytes !== sealed.length) return undefined
    const shards = splitObject(sealed, manifest.dataShards)
    const trees = await this.#parts.coder.hash(shards, options)
    const isOf = trees.every(
      ({ root }, index) => Buffer.compare(root, rootOf(manifest, index)) === 0,
    )
    const leafHashes = trees.map(tree => tree.leafHashes)
    return isOf ? { stripe, leafHashes: joinLeaves(leafHashes, trees.length) } : undefined
  }

  async #issue(
    { key, sealed, modelId, numericClass }: NewBlock,
    code: Code,
    options: AbortOptions,
  ): Promise<CodedStripe & { readonly encoded: CodedObject }> {
    const { coder, signer, clock } = this.#parts
    const encoded = await encodeBlock(coder, sealed, code, options)
    const facts = { lookupKey: key, modelId, numericClass, objectBytes: sealed.length, ...code }
    const roots = joinRoots(encoded.roots)
    const leafHashes = joinLeaves(encoded.leafHashes, code.dataShards)
    return { stripe: issueStripe({ ...facts, roots }, signer, clock), encoded, leafHashes }
  }
}
