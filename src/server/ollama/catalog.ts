import { z } from 'zod'
import type { EngineModel } from '../../interface/engine.ts'
import { isDigestId } from '../../key/model-id.ts'
import type { JsonObject } from '../../std/json.ts'
import { maybe, parseBody, refuse } from '../validate.ts'

/**
 * The release of Ollama whose API is spoken here. Its clients read this to learn what they may send
 * (VS Code refuses servers below 0.6.4), so our own version stands beside it.
 */
const apiVersion = '0.12.11'

/** Models are never unloaded while the node runs; Ollama's clients expect a time nevertheless. */
const neverIso = '9999-12-31T23:59:59Z'

export interface CatalogOptions {
  /**
   * What is told as the time of a model's last change, in milliseconds since 1970: the node's
   * start.
   */
  readonly modifiedMs: number
}

/** `GET /api/version` */
export function encodeVersion(packageVersion: string): string {
  return JSON.stringify({ version: apiVersion, hyperspace: packageVersion })
}

/** `GET /api/tags` */
export function encodeTags(models: readonly EngineModel[], options: CatalogOptions): string {
  const modified_at = isoTime(options)
  return JSON.stringify({ models: models.map(model => ({ ...summaryOf(model), modified_at })) })
}

/** `GET /api/ps`: every model that is served is loaded. */
export function encodeRunning(models: readonly EngineModel[]): string {
  const running = models.map(model => ({
    ...summaryOf(model),
    expires_at: neverIso,
    size_vram: 0,
    ...(model.contextTokens === undefined ? {} : { context_length: model.contextTokens }),
  }))
  return JSON.stringify({ models: running })
}

const showSchema = z.looseObject({ model: maybe(z.string()), name: maybe(z.string()) })

/** The model that a body of `POST /api/show` names. @throws request_invalid */
export function parseShow(body: JsonObject): string {
  const { model, name } = parseBody(showSchema, body)
  // Older clients say `name`.
  const wanted = model ? model : name
  return wanted ? wanted : refuse('model', 'the name of a model', undefined)
}

/** `POST /api/show` */
export function encodeShow(model: EngineModel, options: CatalogOptions): string {
  // Clients find the context's length under the name of the architecture, which an engine need not
  // know.
  const architecture = 'hyperspace'
  return JSON.stringify({
    license: '',
    modelfile: '',
    parameters: '',
    template: '',
    details: detailsOf(model),
    model_info: {
      'general.architecture': architecture,
      'general.basename': model.name,
      ...(model.contextTokens === undefined
        ? {}
        : { [`${architecture}.context_length`]: model.contextTokens }),
    },
    capabilities: capabilitiesOf(model),
    modified_at: isoTime(options),
  })
}

function summaryOf(model: EngineModel): JsonObject {
  return {
    name: model.name,
    model: model.name,
    size: model.details.bytes ?? 0,
    // Ollama's digests have no algorithm in front; a model known by name only has none.
    digest: isDigestId(model.id) ? model.id.slice('sha256:'.length) : '',
    details: detailsOf(model),
  }
}

function detailsOf(model: EngineModel): JsonObject {
  const format = isDigestId(model.id) ? 'gguf' : ''
  return {
    parent_model: '',
    format,
    family: '',
    families: [],
    parameter_size: model.details.parameters ?? '',
    quantization_level: model.details.quantization ?? '',
  }
}

function capabilitiesOf({ capabilities }: EngineModel): readonly string[] {
  const completes = capabilities.chat || capabilities.text
  return [
    ...(completes ? ['completion'] : []),
    // Templates without a place for tools get them in the system prompt, so every chat model takes
    // them.
    ...(capabilities.chat ? ['tools'] : []),
    ...(capabilities.embeddings ? ['embedding'] : []),
  ]
}

function isoTime({ modifiedMs }: CatalogOptions): string {
  return new Date(modifiedMs).toISOString()
}
