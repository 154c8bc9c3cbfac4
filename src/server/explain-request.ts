import { type CanonicalRequest, canonicalRequest } from '../key/canonical-request.ts'
import type { ModelId } from '../key/model-id.ts'
import { fieldDigests, lookupKey, type ResponseKey, responseKey } from '../key/response-key.ts'
import type { Scope } from '../key/scope.ts'
import type { Json, JsonObject } from '../std/json.ts'
import { isJsonObject } from '../std/json.ts'
import type { WireFormat } from './wire-format.ts'

export interface ExplainOptions {
  readonly modelId: ModelId
  readonly developerRole: boolean
  readonly sample: number
  readonly scope: Scope
  readonly nodeSecret: Uint8Array
}

/** Why a body has the key it has. */
export interface Explanation {
  readonly canonical: JsonObject
  readonly key: ResponseKey
  readonly lookupKey: string
  /** Paths of the body that have no influence on the key. */
  readonly leftOut: readonly string[]
  readonly maxTokens: number | undefined
  readonly warnings: readonly string[]
  readonly fieldDigests: { readonly [field: string]: string }
}

/** Nested properties tried one by one; deeper or larger bodies have the rest unexplained. */
const triedMax = 2_000
/** Nested names that clients attach as notes: only these are tried below the top level. */
const volatileNames = new Set(['cache_control', 'prompt_cache_breakpoint', 'id', 'status'])

/** @throws request_invalid, as the endpoint itself would */
export function explainRequest(
  format: WireFormat,
  body: JsonObject,
  options: ExplainOptions,
): Explanation {
  const parsed = format.parse(body)
  const canonical = canonicalOf(format, body, options)
  const key = responseKey(options.scope, canonical)
  return {
    canonical: canonical.fields,
    key,
    lookupKey: lookupKey(key),
    leftOut: [...leftOutPaths(format, body, canonical, options)],
    maxTokens: parsed.request.maxTokens,
    warnings: parsed.warnings,
    fieldDigests: fieldDigests(canonical.fields, options.nodeSecret),
  }
}

function canonicalOf(
  format: WireFormat,
  body: JsonObject,
  { modelId, developerRole, sample }: ExplainOptions,
): CanonicalRequest {
  return canonicalRequest(format.parse(body).request, { modelId, developerRole, sample })
}

/**
 * By trial: a property is left out when the key is the same without it. Nothing can be forgotten in
 * a list here.
 */
function* leftOutPaths(
  format: WireFormat,
  body: JsonObject,
  canonical: CanonicalRequest,
  options: ExplainOptions,
): Generator<string> {
  const bytes = Buffer.from(canonical.bytes)
  const isSameWithout = (candidate: JsonObject): boolean => {
    try {
      return bytes.equals(canonicalOf(format, candidate, options).bytes)
    } catch {
      // Without a required field the body is no request at all: so it counts.
      return false
    }
  }
  for (const name of Object.keys(body)) {
    if (isSameWithout(withoutPath(body, [name]))) yield name
  }
  let tried = 0
  for (const path of volatilePaths(body, [])) {
    tried += 1
    if (tried > triedMax) return
    if (path.length > 1 && isSameWithout(withoutPath(body, path))) yield pathText(path)
  }
}

type Path = readonly (string | number)[]

function* volatilePaths(value: Json, path: Path): Generator<Path> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* volatilePaths(item, [...path, index])
  } else if (isJsonObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      const own = [...path, name]
      if (volatileNames.has(name)) yield own
      else yield* volatilePaths(item, own)
    }
  }
}

function withoutPath(body: JsonObject, path: Path): JsonObject {
  const copy = structuredClone(body)
  let parent: unknown = copy
  for (const step of path.slice(0, -1)) parent = childOf(parent, step)
  const last = path.at(-1)
  if (typeof parent === 'object' && parent !== null && last !== undefined) {
    Reflect.deleteProperty(parent, last)
  }
  return copy
}

function childOf(value: unknown, step: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined
}

function pathText(path: Path): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`,
    )
    .join('')
}
