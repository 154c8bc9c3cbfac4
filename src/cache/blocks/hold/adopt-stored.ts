import type { BlobFacts, BlobName, BlobStore } from '../../../interface/blob-store.ts'
import type { Log } from '../../../interface/log.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { nextTurn } from '../../../std/turn.ts'
import type { Stripe, StripeReader } from '../stripe.ts'
import { type BlobNote, decodeNote, ownName, shardName } from './blob-notes.ts'
import type { HeldShards } from './held-shards.ts'
import type { OwnStripes } from './own-stripes.ts'

export interface AdoptComponents {
  readonly store: BlobStore
  readonly held: HeldShards
  readonly own: OwnStripes
  readonly stripes: StripeReader
  readonly swarm: SwarmTag
  readonly log: Log
}

/** Blobs looked at in one turn of the event loop: about 2 ms. */
const listedAtOnce = 64

/** Offers what an earlier run of the node left in the shard store; removes what is of no use. */
export async function adoptStored(components: AdoptComponents, signal: AbortSignal): Promise<void> {
  const useless: BlobName[] = []
  let listed = 0
  for (const facts of components.store.list()) {
    if (!adopt(components, facts)) useless.push(facts.name)
    listed += 1
    if (listed % listedAtOnce === 0) await nextTurn()
    if (signal.aborted) return
  }
  for (const name of useless) {
    await components.store.remove(name)
    if (signal.aborted) return
  }
}

/** False for what this node has no use for any more. */
function adopt(components: AdoptComponents, { name, note, bytes }: BlobFacts): boolean {
  const { held, own, swarm } = components
  const kept = decodeNote(note)
  // Of a swarm that this node may join again.
  if (kept !== undefined && kept.swarm !== swarm) return true
  const stripe = kept === undefined ? undefined : readStripe(components, kept)
  if (kept === undefined || stripe === undefined) return false
  if (kept.type === 'own') {
    return name === ownName(stripe.manifest.lookupKey) && own.adopt(stripe, kept.isPlaced)
  }
  const { index, heldFor } = kept
  if (name !== shardName(stripe.id, index)) return false
  if (!held.has(stripe.id, index)) held.adopt(stripe, { index, heldFor, bytes })
  return true
}

function readStripe({ stripes, log }: AdoptComponents, kept: BlobNote): Stripe | undefined {
  try {
    return stripes.readStored(kept.manifest)
  } catch (error) {
    log.warn('stored manifest not read', { error })
    return undefined
  }
}
