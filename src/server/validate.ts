import { z } from 'zod'
import { type OperationError, requestInvalid } from '../errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../std/json.ts'

/**
 * Checks a request body against a schema.
 * @throws request_invalid for the first wrong field: its path, what is allowed there and the type
 * of what was sent.
 *   The text of a value is never told: bodies are private and messages end up in logs.
 */
export function parseBody<Parsed>(schema: z.ZodType<Parsed>, body: unknown): Parsed {
  return parseAt(schema, body, '')
}

/**
 * As `parseBody`, for a value that stands at `path` in the body. Unions told apart by a `type` are
 * parsed in two steps with this (the type first, then the member), so that the message is about the
 * member that was meant.
 */
export function parseAt<Parsed>(schema: z.ZodType<Parsed>, value: unknown, path: string): Parsed {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const finding = issue === undefined ? { path: [], allowed: 'something else' } : findingOf(issue)
  return refuse(joinPath(path, finding.path), finding.allowed, valueAt(value, finding.path))
}

/** @throws request_invalid saying what is allowed at `path` and of which type `sent` is */
export function refuse(path: string, allowed: string, sent: unknown): never {
  throw fieldInvalid(path, allowed, sent)
}

/**
 * The error for a field that breaks a rule which no schema states. `allowed` reads on from "must
 * be".
 */
export function fieldInvalid(path: string, allowed: string, sent: unknown): OperationError {
  const subject = path === '' ? 'The request body' : `'${path}'`
  if (sent === undefined) {
    return requestInvalid(path, `${subject} is missing: it must be ${allowed}`)
  }
  return requestInvalid(
    path,
    `${subject} must be ${allowed}, but ${sentName(sent, allowed)} was sent`,
  )
}

/**
 * The fields of `body` that are not in `known`: they go into the key unread. Null means absent, as
 * for known ones.
 */
export function splitUnknown(body: JsonObject, known: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(
    Object.entries(body).filter(([name, value]) => !known.has(name) && value !== null),
  )
}

/** `value` without the named fields of its own; nested objects stay as they are. */
export function omit(value: JsonObject, names: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.has(name)))
}

/** The names of a schema's fields, for `splitUnknown`. */
export function fieldNames(schema: z.ZodObject): ReadonlySet<string> {
  return new Set(Object.keys(schema.shape))
}

export type Defined<Fields> = {
  -readonly [Name in keyof Fields]?: Exclude<Fields[Name], undefined | null>
}

/** The fields that have a value: null and undefined both mean that the client did not say. */
export function defined<Fields extends object>(fields: Fields): Defined<Fields> {
  const kept: Defined<Fields> = {}
  for (const name in fields) {
    const value = fields[name]
    if (isDefined(value)) kept[name] = value
  }
  return kept
}

function isDefined<Value>(value: Value): value is Exclude<Value, undefined | null> {
  return value !== undefined && value !== null
}

/** A field that may be absent; clients also send null for that. */
export function maybe<Schema extends z.ZodType>(
  schema: Schema,
): z.ZodOptional<z.ZodNullable<Schema>> {
  return schema.nullish()
}

/** A finite number within both bounds. */
export function numberIn(min: number, max: number): z.ZodType<number> {
  return z.custom<number>(
    value => typeof value === 'number' && value >= min && value <= max,
    `a number ${rangeText(min, max)}`,
  )
}

/** A whole number within both bounds, which must themselves be exact in JSON. */
export function integerIn(min: number, max: number): z.ZodType<number> {
  return z.custom<number>(
    value => Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max,
    `an integer ${rangeText(min, max)}`,
  )
}

/** One of a closed list of strings. */
export function oneOf<const Value extends string>(values: readonly Value[]): z.ZodType<Value> {
  return z.custom<Value>(
    value => values.some(candidate => candidate === value),
    `one of ${quoteAll(values)}`,
  )
}

export const jsonObject: z.ZodType<JsonObject> = z.custom<JsonObject>(isJsonObject, 'an object')

/** A field of any type that is passed on (or ignored) unread. */
export const anyJson: z.ZodOptional<z.ZodType<Json>> = z.custom<Json>().optional()

function rangeText(min: number, max: number): string {
  if (min <= Number.MIN_SAFE_INTEGER) return 'between -2^53 and 2^53'
  if (max >= Number.MAX_SAFE_INTEGER)
    return min === 0 ? 'that is not negative' : `of ${min} or more`
  return `from ${min} to ${max}`
}

function quoteAll(values: readonly unknown[]): string {
  return values.map(value => (typeof value === 'string' ? `'${value}'` : String(value))).join(', ')
}

interface Finding {
  readonly path: readonly PropertyKey[]
  /** What the field must be, as "a string". */
  readonly allowed: string
}

function findingOf(issue: z.core.$ZodIssue): Finding {
  switch (issue.code) {
    case 'invalid_union':
      return unionFinding(issue)
    case 'invalid_type':
      return { path: issue.path, allowed: typePhrases[issue.expected] ?? `a ${issue.expected}` }
    case 'invalid_value':
      return { path: issue.path, allowed: valuesPhrase(issue.values) }
    case 'too_big':
      return { path: issue.path, allowed: sizePhrase(issue.origin, 'at most', issue.maximum) }
    case 'too_small':
      return { path: issue.path, allowed: sizePhrase(issue.origin, 'at least', issue.minimum) }
    case 'custom':
      // Our own schemas say what is allowed as their message.
      return { path: issue.path, allowed: issue.message }
    default:
      return { path: issue.path, allowed: 'of another form' }
  }
}

/**
 * A branch that accepts the type and fails further in is the one that was meant; else all branches
 * are allowed.
 */
function unionFinding(issue: z.core.$ZodIssueInvalidUnion): Finding {
  if (issue.errors.length === 0) {
    const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : []
    return { path: issue.path, allowed: valuesPhrase(options) }
  }
  const meant = issue.errors.find(branch => branch.every(inner => inner.path.length > 0))
  const [first] = meant ?? []
  if (first !== undefined) {
    const inner = findingOf(first)
    return { path: [...issue.path, ...inner.path], allowed: inner.allowed }
  }
  const phrases = issue.errors.flatMap(branch => branch.slice(0, 1)).map(findingOf)
  return { path: issue.path, allowed: [...new Set(phrases.map(one => one.allowed))].join(' or ') }
}

const typePhrases: { readonly [expected: string]: string } = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
}

function valuesPhrase(values: readonly unknown[]): string {
  return values.length === 1 ? quoteAll(values) : `one of ${quoteAll(values)}`
}

function sizePhrase(origin: string, bound: string, size: number | bigint): string {
  if (origin === 'string') return `a string of ${bound} ${size} characters`
  if (origin === 'array') return `an array of ${bound} ${size} items`
  return `a number of ${bound} ${size}`
}

function joinPath(start: string, steps: readonly PropertyKey[]): string {
  let path = start
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`
    // A name that no API has may be private text, or endless.
    else if (!/^[\w$-]{1,64}$/.test(String(step))) return `${path}[…]`
    else path += path === '' ? String(step) : `.${String(step)}`
  }
  return path
}

function valueAt(root: unknown, steps: readonly PropertyKey[]): unknown {
  let value = root
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.getOwnPropertyDescriptor(value, step)?.value
  }
  return value
}

function sentName(value: unknown, allowed: string): string {
  const name = typeName(value)
  const noun = name.replace(/^an? /, '')
  const isAllowedType =
    allowed.includes(name) ||
    (noun === 'string' && allowed.includes("'")) ||
    (noun === 'number' && allowed.startsWith('an integer') && Number.isInteger(value))
  return isAllowedType ? `another ${noun}` : name
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'boolean') return 'a boolean'
  return `a ${typeof value}`
}
