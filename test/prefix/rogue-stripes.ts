import { randomBytes } from 'node:crypto'
import { manifestProtocol, shardProtocol } from '../../src/cache/blocks/protocols.ts'
import { issueStripe, type Stripe } from '../../src/cache/blocks/stripe.ts'
import { joinRoots } from '../../src/cache/blocks/stripe-coding.ts'
import { createReedSolomon, hashShard, splitObject } from '../../src/erasure/index.ts'
import type { Network } from '../../src/interface/network.ts'
import { type BlockHash, blockLookupKey } from '../../src/key/block-hash.ts'
import type { ModelId } from '../../src/key/model-id.ts'
import type { LookupKey } from '../../src/key/response-key.ts'
import type { Identity } from '../../src/net/identity.ts'
import type { Clock } from '../../src/std/clock.ts'
import { nonceBytes, sealBlock } from '../../src/wire/block/sealed-block.ts'
import { decodeManifestAsks, decodeShardAsk, encodeOffers } from '../../src/wire/block-messages.ts'

/** A block of a member that knows the swarm's secret and the prompt, and lies. */
export interface RogueBlock {
  readonly hash: BlockHash
  /** Whatever it likes: sealed under the block's own hash. */
  readonly plain: Uint8Array
}

export interface RogueIssuer {
  readonly identity: Identity
  readonly clock: Clock
  readonly modelId: ModelId
  readonly numericClass: string
}

export interface RogueStripe extends Stripe {
  readonly shards: readonly Uint8Array[]
  readonly leafHashes: readonly Uint8Array[]
}

const code = { dataShards: 2, parityShards: 2 }

/** Sealed, coded and signed just as a node does it with a right block. */
export function rogueStripe(block: RogueBlock, issuer: RogueIssuer): RogueStripe {
  const sealed = sealBlock(block.hash, [block.plain], randomBytes(nonceBytes))
  const data = splitObject(sealed, code.dataShards)
  const shards = [...data, ...createReedSolomon(code).encode(data)]
  const trees = shards.map(hashShard)
  const { identity, clock, modelId, numericClass } = issuer
  const facts = {
    lookupKey: blockLookupKey(block.hash),
    modelId,
    numericClass,
    objectBytes: sealed.length,
    dataShards: code.dataShards,
    shards: shards.length,
    roots: joinRoots(trees.map(({ root }) => root)),
  }
  const stripe = issueStripe(facts, identity, clock)
  return { ...stripe, shards, leafHashes: trees.map(tree => Buffer.concat(tree.leafHashes)) }
}

/** Before the network starts. What is added to the map later is served as well. */
export function serveStripes(network: Network, stripes: ReadonlyMap<LookupKey, RogueStripe>): void {
  network.serve(manifestProtocol, async body =>
    encodeOffers(
      decodeManifestAsks(body).map(({ key }) => {
        const stripe = stripes.get(key)
        if (stripe === undefined) return []
        return [{ stripe: stripe.id, shards: 0b1111, isWhole: false, manifest: stripe.bytes }]
      }),
    ),
  )
  network.serveBytes(shardProtocol, async function* (body) {
    const ask = decodeShardAsk(body)
    const stripe = [...stripes.values()].find(({ id }) => id === ask.stripe)
    yield stripe?.leafHashes[ask.index] ?? new Uint8Array()
    yield stripe?.shards[ask.index] ?? new Uint8Array()
  })
}
