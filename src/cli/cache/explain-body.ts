import { lookUp, type NearEntry, nearestEntries } from '../../cache/inspect-cache.ts'
import type { PrefixExplanation } from '../../cache/prefix/prefix-cache.ts'
import type { Store } from '../../interface/store.ts'
import { localScope, nodeSecretBytes, type Scope, swarmScope } from '../../key/scope.ts'
import { sampleMax } from '../../limits.ts'
import { type Explanation, explainRequest } from '../../server/explain-request.ts'
import type { WireFormat } from '../../server/wire-format.ts'
import type { JsonObject } from '../../std/json.ts'
import { readSwarmState } from '../../swarm-state.ts'
import { type CommandContext, countOption, textOption } from '../command.ts'
import { UsageError } from '../exit-code.ts'
import { withReadOnlyStore } from './cache-access.ts'
import { folderSecret } from './folder-secret.ts'
import { type KnownModel, knownModel } from './known-model.ts'
import { explainPrefix } from './prefix/explain-prefix.ts'

/** Stored requests shown for comparison. */
const nearestMax = 3

export interface Explained extends Explanation {
  readonly endpoint: string
  readonly model: KnownModel
  readonly scope: Scope['name']
  readonly isSecretKnown: boolean
  /** Whether an answer is stored that serves this request. */
  readonly isStored: boolean
  /** Why the request would be a miss; undefined where it would be a hit. */
  readonly missReason?: string | undefined
  readonly nearest: readonly NearEntry[]
  /** From where a running node would compute the prompt. */
  readonly prefix?: PrefixExplanation
}

/**
 * What a body means to the cache of a data folder.
 * @throws request_invalid, as the endpoint would
 */
export async function explainBody(
  context: CommandContext,
  given: {
    readonly endpoint: string
    readonly format: WireFormat
    readonly body: JsonObject
  },
): Promise<Explained> {
  const { endpoint, format, body } = given
  const { signal, data } = context
  const secret = folderSecret(data)
  const nodeSecret = secret ?? new Uint8Array(nodeSecretBytes)
  const scope = scopeOf(context, nodeSecret)
  const model = await knownModel(data, format.parse(body).request.model, { signal })
  const explanation = explainRequest(format, body, {
    modelId: model.id,
    developerRole: model.developerRole,
    sample: countOption(context, 'sample', { fallback: 0, max: sampleMax }),
    scope,
    nodeSecret,
  })
  const found =
    secret === undefined
      ? { isStored: false, nearest: [] }
      : await withReadOnlyStore(context, async store => findStored(store, explanation))
  const isSecretKnown = secret !== undefined || scope.name === 'swarm'
  const prefix = await explainPrefix(context, { endpoint, body }, scope)
  return {
    ...explanation,
    ...found,
    endpoint,
    model,
    scope: scope.name,
    isSecretKnown,
    ...(prefix === undefined ? {} : { prefix }),
  }
}

/** As the node would choose it: the swarm's, unless the request narrows it. @throws UsageError */
function scopeOf(context: CommandContext, nodeSecret: Uint8Array): Scope {
  const wanted = textOption(context, 'scope')
  const state = wanted === 'local' ? undefined : readSwarmState(context.data)
  if (state !== undefined && (wanted === undefined || wanted === 'swarm')) {
    return swarmScope(state.secret)
  }
  if (wanted === undefined || wanted === 'local') {
    return localScope(nodeSecret, textOption(context, 'apiKey'))
  }
  const allowed = state === undefined ? 'local: the folder is in no swarm' : 'local or swarm'
  throw new UsageError(`--scope must be ${allowed}`)
}

/** Asks as a node would, so that both give the same reason. */
function findStored(
  store: Store,
  { key, maxTokens, fieldDigests }: Explanation,
): Pick<Explained, 'isStored' | 'missReason' | 'nearest'> {
  const lookup = lookUp(store, key, { maxTokens })
  return {
    isStored: lookup.outcome === 'hit',
    missReason: lookup.outcome === 'hit' ? undefined : lookup.reason,
    nearest: nearestEntries(store, fieldDigests, nearestMax),
  }
}
