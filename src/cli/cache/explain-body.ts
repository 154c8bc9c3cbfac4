import { type NearEntry, nearestEntries } from '../../cache/inspect-cache.ts'
import type { Store } from '../../interface/store.ts'
import { limitedKey, lookupKey } from '../../key/response-key.ts'
import { localScope, nodeSecretBytes } from '../../key/scope.ts'
import { sampleMax } from '../../limits.ts'
import { type Explanation, explainRequest } from '../../server/explain-request.ts'
import type { WireFormat } from '../../server/wire-format.ts'
import type { JsonObject } from '../../std/json.ts'
import { type CommandContext, countOption, textOption } from '../command.ts'
import { withReadOnlyStore } from './cache-access.ts'
import { folderSecret } from './folder-secret.ts'
import { type KnownModel, knownModel } from './known-model.ts'

/** Stored requests shown for comparison. */
const nearestMax = 3

export interface Explained extends Explanation {
  readonly endpoint: string
  readonly model: KnownModel
  readonly isSecretKnown: boolean
  /** Whether the answer is stored under the key. */
  readonly isStored: boolean
  readonly nearest: readonly NearEntry[]
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
  const model = await knownModel(data, format.parse(body).request.model, { signal })
  const explanation = explainRequest(format, body, {
    modelId: model.id,
    developerRole: model.developerRole,
    sample: countOption(context, 'sample', { fallback: 0, max: sampleMax }),
    scope: localScope(nodeSecret, textOption(context, 'apiKey')),
    nodeSecret,
  })
  const found =
    secret === undefined
      ? { isStored: false, nearest: [] }
      : await withReadOnlyStore(context, async store => findStored(store, explanation))
  return { ...explanation, ...found, endpoint, model, isSecretKnown: secret !== undefined }
}

/**
 * Complete answers are stored under the key, those cut at the limit of tokens under one made from
 * both.
 */
function findStored(
  store: Store,
  { key, maxTokens, fieldDigests }: Explanation,
): Pick<Explained, 'isStored' | 'nearest'> {
  const keys = [key, limitedKey(key, maxTokens ?? 0)]
  const isStored = keys.some(candidate => store.peek(lookupKey(candidate)) !== undefined)
  return { isStored, nearest: nearestEntries(store, fieldDigests, nearestMax) }
}
