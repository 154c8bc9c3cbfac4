import { hash } from 'node:crypto'
import type { BlobName } from '../../../interface/blob-store.ts'
import type { PeerId } from '../../../interface/network.ts'
import { peerIdOfPublicKey, publicKeyBytes, publicKeyOfPeerId } from '../../../key/peer-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { parseSwarmTag, type SwarmTag } from '../../../key/scope.ts'
import { stripeShardsMax } from '../../../limits.ts'
import type { StripeId } from '../../../wire/manifest.ts'

/**
 * What is kept beside a blob of the shard store, behind the 8 bytes of the swarm's tag: what is of
 * one swarm is never offered to another.
 *
 *     u8 1 ‖ u8 index ‖ public key of whom it is held for ‖ manifest    beside a shard
 *     u8 2 ‖ u8 1 where shards were placed, else 0 ‖ manifest           of a block of our own
 */
export type BlobNote = (
  | { readonly type: 'shard'; readonly index: number; readonly heldFor: PeerId }
  | { readonly type: 'own'; readonly isPlaced: boolean }
) & { readonly swarm: SwarmTag; readonly manifest: Uint8Array }

const tagBytes = 8

export function encodeNote(note: BlobNote): Uint8Array {
  const tag = Buffer.from(note.swarm, 'hex')
  if (note.type === 'own') {
    return Buffer.concat([tag, Uint8Array.of(2, note.isPlaced ? 1 : 0), note.manifest])
  }
  const heldFor = publicKeyOfPeerId(note.heldFor)
  if (heldFor === undefined) throw new RangeError('A peer id holds its public key')
  return Buffer.concat([tag, Uint8Array.of(1, note.index), heldFor, note.manifest])
}

/** Undefined for a note of something else. */
export function decodeNote(bytes: Uint8Array): BlobNote | undefined {
  const swarm = parseSwarmTag(Buffer.from(bytes.subarray(0, tagBytes)).toString('hex'))
  if (swarm === undefined) return undefined
  const [type, second = 0] = bytes.subarray(tagBytes)
  const rest = bytes.subarray(tagBytes + 2)
  if (type === 2) return { type: 'own', isPlaced: second === 1, swarm, manifest: rest }
  if (type !== 1 || second >= stripeShardsMax || rest.length <= publicKeyBytes) return undefined
  const heldFor = peerIdOfPublicKey(rest.subarray(0, publicKeyBytes))
  const manifest = rest.subarray(publicKeyBytes)
  return { type: 'shard', index: second, heldFor, swarm, manifest }
}

export function shardName(stripe: StripeId, index: number): BlobName {
  return hash('sha256', `hyperspace/shard/1 ${stripe} ${index}`)
}

export function ownName(key: LookupKey): BlobName {
  return hash('sha256', `hyperspace/own-stripe/1 ${key}`)
}
