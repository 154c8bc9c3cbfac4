import { createHmac } from 'node:crypto'

/** Who can hit an entry. `local` never leaves this node. */
export type ScopeName = 'local'

export interface Scope {
  readonly name: ScopeName
  /** 32 secret bytes that go into every key of the scope, so that nobody else can compute one. */
  readonly salt: Uint8Array
}

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
