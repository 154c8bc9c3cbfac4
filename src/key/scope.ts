import { createHmac } from 'node:crypto'
import type { Brand } from '../std/brand.ts'

/** Who can hit an entry. `local` never leaves this node; `swarm` is shared with its members. */
export type ScopeName = 'local' | 'swarm'

export interface Scope {
  readonly name: ScopeName
  /** 32 secret bytes that go into every key of the scope, so that nobody else can compute one. */
  readonly salt: Uint8Array
  /** Which swarm it is of; absent in a local one. */
  readonly swarm?: SwarmTag
}

/**
 * Tells a node's swarms apart in its own store, so that what was shared with one is not offered to
 * another: 16 hex digits, and no help to whoever wants the secret.
 */
export type SwarmTag = Brand<string, 'SwarmTag'>

/** Length of the node's secret in bytes. */
export const nodeSecretBytes = 32

/**
 * The `local` scope of one API key: HMAC-SHA-256(node secret, "hyperspace/scope/local/1" ‖ API
 * key). Two tenants of one node never hit each other's entries; without API keys there is one
 * scope.
 */
export function localScope(nodeSecret: Uint8Array, apiKey: string | undefined): Scope {
  const salt = createHmac('sha256', nodeSecret)
    .update('hyperspace/scope/local/1')
    .update(apiKey ?? '')
    .digest()
  return { name: 'local', salt }
}

/** Length of a swarm's secret in bytes. */
export const swarmSecretBytes = 32
const swarmTagDigits = 16

/**
 * The scope that all members of a swarm share: HMAC-SHA-256(swarm secret,
 * "hyperspace/scope/swarm/1"). Equal on all of them, so that equal requests have equal keys.
 */
export function swarmScope(swarmSecret: Uint8Array): Scope {
  const salt = createHmac('sha256', swarmSecret).update('hyperspace/scope/swarm/1').digest()
  const tag = createHmac('sha256', swarmSecret).update('hyperspace/swarm-tag/1').digest('hex')
  return { name: 'swarm', salt, swarm: tag.slice(0, swarmTagDigits) as SwarmTag }
}

/** Undefined for what is no tag. */
export function parseSwarmTag(text: string): SwarmTag | undefined {
  return text.length === swarmTagDigits && /^[0-9a-f]+$/.test(text) ? (text as SwarmTag) : undefined
}
