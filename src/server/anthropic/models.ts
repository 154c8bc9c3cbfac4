import type { EngineModel } from '../../interface/engine.ts'
import type { JsonObject } from '../../std/json.ts'

/** `GET /v1/models` for clients that send `anthropic-version`: one page that holds all. */
export function encodeModelList(models: readonly EngineModel[]): string {
  return JSON.stringify({
    data: models.map(modelInfo),
    has_more: false,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  })
}

/** `GET /v1/models/{id}`. */
export function encodeModel(model: EngineModel): string {
  return JSON.stringify(modelInfo(model))
}

function modelInfo(model: EngineModel): JsonObject {
  return {
    type: 'model',
    id: model.name,
    display_name: model.name,
    // What Anthropic's documentation says for models whose release date is unknown.
    created_at: '1970-01-01T00:00:00Z',
    deprecated_at: null,
    retires_at: null,
    lifecycle: 'active',
    line: null,
    capabilities: null,
    // Claude Code assumes a window of a million tokens where this is not told.
    max_input_tokens: model.contextTokens ?? null,
    max_tokens: model.contextTokens ?? null,
  }
}
