import type { EngineModel } from '../../interface/engine.ts'
import type { JsonObject } from '../../std/json.ts'

/** What clients are told about a model. */
export type ModelCard = Pick<
  EngineModel,
  'id' | 'name' | 'aliases' | 'contextTokens' | 'capabilities' | 'numericClass' | 'details'
>

/** The body of `GET /v1/models`. `created`: seconds since 1970 at which the node began to serve. */
export function encodeModelList(models: readonly ModelCard[], created: number): string {
  return JSON.stringify({
    object: 'list',
    data: models.map(model => modelObject(model, created)),
  })
}

/** The body of `GET /v1/models/{id}`. */
export function encodeModel(model: ModelCard, created: number): string {
  return JSON.stringify(modelObject(model, created))
}

/**
 * OpenAI's four fields, the window under the name that other servers use, and what else is known
 * under `meta`.
 */
function modelObject(model: ModelCard, created: number): JsonObject {
  const { origin, bytes, quantization, parameters } = model.details
  return {
    id: model.name,
    object: 'model',
    created,
    owned_by: 'hyperspace',
    context_length: model.contextTokens ?? null,
    meta: {
      model_id: model.id,
      aliases: model.aliases,
      capabilities: Object.entries(model.capabilities)
        .filter(([name, has]) => has && name !== 'developerRole')
        .map(([name]) => name),
      origin,
      size: bytes ?? null,
      quantization: quantization ?? null,
      parameters: parameters ?? null,
      numeric_class: model.numericClass,
    },
  }
}
