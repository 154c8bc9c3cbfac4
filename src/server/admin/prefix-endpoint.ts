import type { ModelTable } from '../../cache/model-table.ts'
import type { PrefixCache, PrefixExplanation } from '../../cache/prefix/prefix-cache.ts'
import { requestInvalid } from '../../errors.ts'
import { localScope, type Scope } from '../../key/scope.ts'
import { isJsonObject } from '../../std/json.ts'
import type { PlainCall } from '../endpoint.ts'
import { completionFormats } from '../endpoints.ts'
import { encodeError } from '../openai/errors.ts'
import type { Router } from '../router.ts'

export interface PrefixEndpointComponents {
  readonly models: ModelTable
  /** Absent: KV state is not kept. */
  readonly prefix: Pick<PrefixCache, 'explain'> | undefined
  /** The swarm's, while the node is in one. */
  readonly swarmScope: () => Scope | undefined
  readonly nodeSecret: Uint8Array
}

/**
 * `POST /admin/cache/prefix { endpoint, body, scope?, apiKey? }`: from where the node would begin
 * to compute the prompt of a body now, and why. For `hyperspace cache explain`.
 */
export function addPrefixEndpoint(router: Router, parts: PrefixEndpointComponents): void {
  router.add('POST', '/admin/cache/prefix', {
    kind: 'plain',
    api: 'other',
    access: 'admin',
    encodeError,
    handle: async call => ({ body: await explain(parts, call) }),
  })
}

async function explain(
  { models, prefix, swarmScope, nodeSecret }: PrefixEndpointComponents,
  call: PlainCall,
): Promise<PrefixExplanation> {
  const { endpoint, body, scope: scopeName, apiKey } = await call.json()
  const format = typeof endpoint === 'string' ? completionFormats.get(endpoint) : undefined
  if (format === undefined) throw requestInvalid('endpoint', "'endpoint' asks no model")
  if (!isJsonObject(body)) throw requestInvalid('body', "'body' must be the body of a request")
  if (prefix === undefined) return { isOn: false, reason: 'this node keeps no KV state' }
  const { request } = format.parse(body)
  const own = localScope(nodeSecret, typeof apiKey === 'string' ? apiKey : undefined)
  const scope = scopeName === 'local' ? own : (swarmScope() ?? own)
  const ask = { served: models.resolve(request.model), request, scope }
  return await prefix.explain(ask, { signal: call.signal })
}
