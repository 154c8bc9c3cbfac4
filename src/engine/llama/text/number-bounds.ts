import type { JsonObject } from '../../../std/json.ts'
import { numberRange } from './number-range.ts'
import { SchemaUnsupportedError } from './schema-unsupported-error.ts'

/** Digits before the point, and digits after it, of the longest number that is written. */
const digitsMax = 15

const sides = {
  minimum: { isLower: true, isExclusive: false },
  exclusiveMinimum: { isLower: true, isExclusive: true },
  maximum: { isLower: false, isExclusive: false },
  exclusiveMaximum: { isLower: false, isExclusive: true },
} as const
type BoundKeyword = keyof typeof sides
const boundKeywords: readonly BoundKeyword[] = [
  'minimum',
  'exclusiveMinimum',
  'maximum',
  'exclusiveMaximum',
]

interface Bound {
  readonly value: number
  readonly isLower: boolean
  readonly isExclusive: boolean
}

/** The first keyword of a schema that bounds a number. */
export function boundKeywordOf(schema: JsonObject): string | undefined {
  return boundKeywords.find(keyword => schema[keyword] !== undefined)
}

/**
 * A GBNF expression for the numbers within the bounds of a schema, or the shared rule named like
 * the type where nothing bounds them.
 *
 * Every number written is within the bounds, also when read as a double. Not every one can be
 * written: bounded ones have no exponent, at most 15 digits before the point and 15 after it.
 *
 * @throws SchemaUnsupportedError for bounds that are no numbers or leave none
 */
export function boundedNumber(
  schema: JsonObject,
  type: 'integer' | 'number',
  path: string,
): string {
  const bounds = boundsOf(schema, path)
  if (bounds.length === 0) return type
  const scale = type === 'integer' ? 0 : scaleOf(bounds)
  const max = 10n ** BigInt(digitsMax + scale) - 1n
  let [from, to] = [-max, max]
  for (const bound of bounds) {
    const edge = edgeOf(bound, scale)
    if (bound.isLower && edge > from) from = edge
    if (!bound.isLower && edge < to) to = edge
  }
  if (from > to) {
    throw new SchemaUnsupportedError(
      `${path} has no ${type} of up to ${digitsMax} digits between its bounds`,
    )
  }
  // Generators write the widest safe integers for "any".
  const isUnbounded = type === 'integer' && from === -max && to === max
  return isUnbounded ? type : numberRange(from, to, scale)
}

function boundsOf(schema: JsonObject, path: string): readonly Bound[] {
  return boundKeywords.flatMap(keyword => {
    const value = schema[keyword]
    if (value === undefined) return []
    if (typeof value === 'number' && Number.isFinite(value)) return [{ value, ...sides[keyword] }]
    throw new SchemaUnsupportedError(`${path}.${keyword} is no number`)
  })
}

/**
 * Digits after the point. Beside an exclusive bound a longer text could be read as the bound
 * itself; up to 15 digits in all, two decimals are never one double.
 */
function scaleOf(bounds: readonly Bound[]): number {
  const digits = bounds
    .filter(({ value, isExclusive }) => isExclusive && Math.abs(value) <= 10 ** digitsMax)
    .map(({ value }) => String(Math.trunc(Math.abs(value))).length)
  return Math.max(0, digitsMax - Math.max(0, ...digits))
}

/** The last number within a bound, in units of 10^-scale. */
function edgeOf({ value, isLower, isExclusive }: Bound, scale: number): bigint {
  // The shortest text that is read as this double: what the schema's author wrote.
  const [mantissa = '', exponent] = value.toExponential().split('e')
  const [whole = '', decimals = ''] = mantissa.split('.')
  const written = BigInt(whole + decimals)
  const shift = Number(exponent) - decimals.length + scale
  const divisor = 10n ** BigInt(Math.max(0, -shift))
  const units = written * 10n ** BigInt(Math.max(0, shift))
  const isExact = units % divisor === 0n
  const floor = units / divisor - (units < 0n && !isExact ? 1n : 0n)
  if (isLower) return isExact && !isExclusive ? floor : floor + 1n
  return isExact && isExclusive ? floor - 1n : floor
}
