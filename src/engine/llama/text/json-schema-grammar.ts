import { grammarRulesMax } from '../../../limits.ts'
import { isJsonObject, type Json, type JsonObject } from '../../../std/json.ts'
import { boundedNumber, boundKeywordOf } from './number-bounds.ts'
import { SchemaUnsupportedError } from './schema-unsupported-error.ts'

/**
 * Keywords that restrict and that we cannot keep. To ignore them would promise what is not held.
 */
const refusedKeywords = [
  'contains',
  'dependentRequired',
  'dependentSchemas',
  'if',
  'maxProperties',
  'minProperties',
  'multipleOf',
  'not',
  'pattern',
  'patternProperties',
  'propertyNames',
] as const

/** Longest repetition that llama.cpp's grammar takes. */
const repetitionMax = 2_000

const hex = '[0-9a-fA-F]'
const sharedRules: { readonly [name: string]: string } = {
  space: '| " " | "\\n" [ \\t]{0,20}',
  char: String.raw`[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ${hex}{4})`,
  string: String.raw`"\"" char* "\""`,
  integer: '"-"? ("0" | [1-9] [0-9]{0,14})',
  number: '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
  boolean: '"true" | "false"',
  null: '"null"',
  member: 'string ":" space value',
  object: '"{" space (member (space "," space member)*)? space "}"',
  array: '"[" space (value (space "," space value)*)? space "]"',
  value: 'object | array | string | number | boolean | null',
  date: '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])',
  hour: '[01] [0-9] | "2" [0-3]',
  sixty: '[0-5] [0-9]',
  time: 'hour ":" sixty ":" sixty ("." [0-9]{1,9})? ("Z" | [-+] hour ":" sixty)',
  uuid: `${hex}{8} "-" ${hex}{4} "-" ${hex}{4} "-" ${hex}{4} "-" ${hex}{12}`,
}

/** Formats that are held. Others are notes to the reader, as JSON Schema has it. */
const stringFormats: { readonly [format: string]: string } = {
  date: String.raw`"\"" date "\""`,
  time: String.raw`"\"" time "\""`,
  'date-time': String.raw`"\"" date "T" time "\""`,
  uuid: String.raw`"\"" uuid "\""`,
}

/** Collects the rules of one GBNF grammar. */
export class GrammarRules {
  readonly #rules = new Map<string, string>()
  readonly #refs = new Map<JsonObject, Map<string, string>>()

  /** Adds a rule under a name of its own; returns the name. */
  add(body: string): string {
    const name = `r${this.#rules.size}`
    this.define(name, body)
    return name
  }

  /** An expression for JSON that a schema allows. @throws SchemaUnsupportedError */
  json(schema: Json): string {
    return new SchemaReader(this, isJsonObject(schema) ? schema : {}).read(schema, '$')
  }

  /** The grammar whose whole output is `root`. */
  text(root: string): string {
    const own = [...this.#rules].map(([name, body]) => `${name} ::= ${body}`)
    const shared = Object.entries(sharedRules).map(([name, body]) => `${name} ::= ${body}`)
    return [`root ::= ${root}`, ...own, ...shared, ''].join('\n')
  }

  define(name: string, body: string): void {
    if (this.#rules.size >= grammarRulesMax) {
      throw new SchemaUnsupportedError(
        `the schema needs more than ${grammarRulesMax} grammar rules`,
      )
    }
    this.#rules.set(name, body)
  }

  /** Names of rules that references of one schema lead to. */
  refsOf(root: JsonObject): Map<string, string> {
    const known = this.#refs.get(root) ?? new Map<string, string>()
    this.#refs.set(root, known)
    return known
  }
}

/** A piece of text as GBNF writes it. */
export function literal(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
  return `"${escaped}"`
}

class SchemaReader {
  readonly #rules: GrammarRules
  readonly #root: JsonObject

  constructor(rules: GrammarRules, root: JsonObject) {
    this.#rules = rules
    this.#root = root
  }

  read(schema: Json | undefined, path: string): string {
    if (schema === undefined || schema === true) return 'value'
    if (!isJsonObject(schema)) throw new SchemaUnsupportedError(`${path} is no schema`)
    assertKept(schema, path)
    if (schema['$ref'] !== undefined) return this.#reference(schema['$ref'], path)
    if ('const' in schema) return literal(JSON.stringify(schema['const']))
    if (Array.isArray(schema['enum']))
      return oneOf(schema['enum'].map(value => literal(JSON.stringify(value))))
    const alternatives = schema['anyOf'] ?? schema['oneOf']
    if (Array.isArray(alternatives)) return this.#alternatives(schema, alternatives, path)
    if (Array.isArray(schema['allOf'])) return this.#merged(schema, schema['allOf'], path)
    return this.#typed(schema, path)
  }

  #typed(schema: JsonObject, path: string): string {
    const { type } = schema
    if (Array.isArray(type))
      return oneOf(type.map(each => this.#typed({ ...schema, type: each }, path)))
    if (type === 'object' || (type === undefined && 'properties' in schema))
      return this.#object(schema, path)
    if (
      type === 'array' ||
      (type === undefined && ('items' in schema || 'prefixItems' in schema))
    ) {
      return this.#array(schema, path)
    }
    if (type === 'string') return this.#string(schema, path)
    if (type === 'integer' || type === 'number') return boundedNumber(schema, type, path)
    if (type === 'boolean' || type === 'null') return type
    if (type === undefined) return 'value'
    throw new SchemaUnsupportedError(`${path} has the unknown type ${JSON.stringify(type)}`)
  }

  /**
   * Properties come in the schema's order; optional ones may be missing. Unnamed ones are not
   * written.
   */
  #object(schema: JsonObject, path: string): string {
    const properties = Object.entries(
      isJsonObject(schema['properties']) ? schema['properties'] : {},
    )
    const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
    for (const name of required) {
      if (properties.some(([property]) => property === name)) continue
      if (typeof name === 'string') properties.push([name, true])
    }
    if (properties.length === 0) return this.#dictionary(schema['additionalProperties'], path)
    // Rules from the last property to the first: what may follow when something stands before it,
    // and when not.
    let after = '""'
    let first = '""'
    for (const [name, value] of properties.toReversed()) {
      const read = this.read(value, `${path}.${name}`)
      const member = `${literal(JSON.stringify(name))} ":" space ${read}`
      const memberRule = this.#rules.add(member)
      const following = after
      const isRequired = required.has(name)
      first = this.#rules.add(`${memberRule} ${following}${isRequired ? '' : ` | ${first}`}`)
      const next = `space "," space ${memberRule}`
      after = this.#rules.add(isRequired ? `${next} ${following}` : `(${next})? ${following}`)
    }
    return this.#rules.add(`"{" space ${first} space "}"`)
  }

  #dictionary(additional: Json | undefined, path: string): string {
    if (additional === false) return this.#rules.add('"{" space "}"')
    if (additional === undefined || additional === true) return 'object'
    const member = this.#rules.add(`string ":" space ${this.read(additional, `${path}.*`)}`)
    return this.#rules.add(`"{" space (${member} (space "," space ${member})*)? space "}"`)
  }

  #array(schema: JsonObject, path: string): string {
    const prefix = Array.isArray(schema['prefixItems']) ? schema['prefixItems'] : []
    const { min, max } = bounds(schema, 'minItems', 'maxItems', path)
    if (prefix.length > 0) {
      const items = prefix.map((item, index) => this.read(item, `${path}[${index}]`))
      if (max !== undefined && max < items.length)
        throw new SchemaUnsupportedError(`${path} has fewer maxItems than prefixItems`)
      if (min > items.length)
        throw new SchemaUnsupportedError(`${path} has more minItems than prefixItems`)
      return this.#rules.add(`"[" space ${items.join(' space "," space ')} space "]"`)
    }
    if (max === 0) return this.#rules.add('"[" space "]"')
    const item = this.#rules.add(this.read(schema['items'], `${path}[]`))
    const more = repeat(Math.max(0, min - 1), max === undefined ? undefined : max - 1)
    const rest = `${item} (space "," space ${item})${more}`
    return this.#rules.add(`"[" space ${min === 0 ? `(${rest})?` : rest} space "]"`)
  }

  #string(schema: JsonObject, path: string): string {
    const { format } = schema
    const formatted = typeof format === 'string' ? stringFormats[format] : undefined
    if (formatted !== undefined) return this.#rules.add(formatted)
    const { min, max } = bounds(schema, 'minLength', 'maxLength', path)
    if (min === 0 && max === undefined) return 'string'
    return this.#rules.add(String.raw`"\"" char${repeat(min, max)} "\""`)
  }

  #alternatives(schema: JsonObject, alternatives: readonly Json[], path: string): string {
    if ('properties' in schema)
      throw new SchemaUnsupportedError(`${path} mixes properties with alternatives`)
    const read = alternatives.map((each, index) => this.read(each, `${path}|${index}`))
    return this.#rules.add(oneOf(read))
  }

  /** Objects are merged; anything else in `allOf` must stand alone. */
  #merged(schema: JsonObject, parts: readonly Json[], path: string): string {
    const { allOf: _, ...own } = schema
    const all = [own, ...parts.map(part => this.#resolved(part, path))].filter(
      part => Object.keys(part).length > 0,
    )
    const [only] = all
    if (all.length === 1) return this.read(only, path)
    if (!all.every(part => part['type'] === 'object' || 'properties' in part || isNote(part))) {
      throw new SchemaUnsupportedError(`${path} uses allOf with something else than objects`)
    }
    const properties = all.map(part => (isJsonObject(part['properties']) ? part['properties'] : {}))
    const required = all.flatMap(part => (Array.isArray(part['required']) ? part['required'] : []))
    return this.#object(
      { type: 'object', properties: Object.assign({}, ...properties), required },
      path,
    )
  }

  #resolved(schema: Json, path: string): JsonObject {
    if (!isJsonObject(schema)) throw new SchemaUnsupportedError(`${path} is no schema`)
    return typeof schema['$ref'] === 'string' ? this.#lookUp(schema['$ref'], path) : schema
  }

  #reference(reference: Json, path: string): string {
    if (typeof reference !== 'string') throw new SchemaUnsupportedError(`${path}.$ref is no text`)
    const known = this.#rules.refsOf(this.#root)
    const ready = known.get(reference)
    if (ready !== undefined) return ready
    // Named before it is read, so that a schema can refer to itself.
    const name = this.#rules.add('""')
    known.set(reference, name)
    this.#rules.define(name, this.read(this.#lookUp(reference, path), reference))
    return name
  }

  #lookUp(reference: string, path: string): JsonObject {
    const [document, ...segments] = reference.split('/')
    let found: Json | undefined = document === '#' ? this.#root : undefined
    for (const segment of segments) {
      const key = segment.replaceAll('~1', '/').replaceAll('~0', '~')
      found = isJsonObject(found) ? found[key] : undefined
    }
    if (!isJsonObject(found))
      throw new SchemaUnsupportedError(`${path} refers to '${reference}', which is not there`)
    return found
  }
}

function assertKept(schema: JsonObject, path: string): void {
  for (const keyword of refusedKeywords) {
    if (schema[keyword] === undefined) continue
    throw new SchemaUnsupportedError(`${path} uses '${keyword}', which this engine cannot enforce`)
  }
  if (schema['uniqueItems'] === true) {
    throw new SchemaUnsupportedError(`${path} uses 'uniqueItems', which this engine cannot enforce`)
  }
  const bound = boundKeywordOf(schema)
  const isTyped = ['$ref', 'const', 'enum', 'anyOf', 'oneOf'].every(key => !(key in schema))
  if (bound === undefined || (isTyped && schema['type'] !== undefined)) return
  throw new SchemaUnsupportedError(
    `${path} uses '${bound}' without a plain 'type', which this engine cannot enforce`,
  )
}

function isNote(schema: JsonObject): boolean {
  return Object.keys(schema).every(key =>
    ['title', 'description', '$schema', '$defs', 'definitions', 'default'].includes(key),
  )
}

function bounds(
  schema: JsonObject,
  minKey: string,
  maxKey: string,
  path: string,
): { min: number; max: number | undefined } {
  const [min, max] = [schema[minKey] ?? 0, schema[maxKey]]
  const isCount = (value: Json): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= repetitionMax
  if (!isCount(min))
    throw new SchemaUnsupportedError(`${path}.${minKey} is no count up to ${repetitionMax}`)
  if (max === undefined) return { min, max: undefined }
  if (!isCount(max) || max < min) {
    throw new SchemaUnsupportedError(
      `${path}.${maxKey} is no count from ${min} to ${repetitionMax}`,
    )
  }
  return { min, max }
}

function repeat(min: number, max: number | undefined): string {
  return `{${min},${max ?? ''}}`
}

function oneOf(alternatives: readonly string[]): string {
  if (alternatives.length === 0) throw new SchemaUnsupportedError('a list of alternatives is empty')
  return `(${alternatives.join(' | ')})`
}
