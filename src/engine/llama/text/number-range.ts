/** What is written before a cut, as a number, and all digits after it. */
interface Cut {
  readonly lead: bigint
  readonly rest: string
}
type Pair<T> = readonly [from: T, to: T]

/**
 * A GBNF expression for the decimals from `from` to `to`, both included, in units of 10^-scale:
 * without exponent or leading zeros, and with at most `scale` digits after the point.
 *
 * Exact: it takes every such text within the range and no other; zero has no sign at scale 0.
 * Size grows with the digits of the two ends, not with the range. Needs `from <= to`.
 */
export function numberRange(from: bigint, to: bigint, scale: number): string {
  const parts: string[] = []
  if (from < 0n) {
    // Only where a fraction may follow can the magnitude be zero ("-0.5").
    const least = scale === 0 ? 1n : 0n
    parts.push(`"-" ${magnitudes(to < 0n ? -to : least, -from, scale)}`)
  }
  if (to >= 0n) parts.push(magnitudes(from > 0n ? from : 0n, to, scale))
  return oneOf(parts)
}

function magnitudes(from: bigint, to: bigint, scale: number): string {
  const unit = 10n ** BigInt(scale)
  const cut = (value: bigint): Cut => ({
    lead: value / unit,
    rest: scale === 0 ? '' : String(value % unit).padStart(scale, '0'),
  })
  return cutRange(
    [cut(from), cut(to)],
    (leads, rests) => `${integers(...leads)} ${fraction(...rests)}`,
  )
}

/** Integers without sign: the shortest and longest by their digits, those between by length. */
function integers(from: bigint, to: bigint): string {
  const [first, last] = [String(from), String(to)]
  if (first.length === last.length) return digits(first, last)
  const tenPower = (length: number): string => `1${'0'.repeat(length - 1)}`
  const shortest = first === tenPower(first.length) ? first.length : first.length + 1
  const longest = isAll(last, '9') ? last.length : last.length - 1
  const parts: string[] = []
  if (shortest > first.length) parts.push(digits(first, '9'.repeat(first.length)))
  if (shortest <= longest) parts.push(`[1-9] [0-9]{${shortest - 1},${longest - 1}}`)
  if (longest < last.length) parts.push(digits(tenPower(last.length), last))
  return oneOf(parts)
}

/** Strings of as many digits as the two ends have. */
function digits(from: string, to: string): string {
  if (from === to) return from === '' ? '' : `"${from}"`
  if (isAll(from, '0') && isAll(to, '9')) return `[0-9]{${from.length}}`
  return cutRange(
    [firstDigit(from), firstDigit(to)],
    (leads, rests) => `${digit(...leads)} ${digits(...rests)}`,
  )
}

/** What may follow the integer part. The ends have all digits, a text may leave out last zeros. */
function fraction(from: string, to: string): string {
  if (from === '') return ''
  const written = `"." ${fractionDigits(from, to)}`
  return isAll(from, '0') ? `(${written})?` : written
}

function fractionDigits(from: string, to: string): string {
  if (isAll(from, '0') && isAll(to, '9')) return `[0-9]{1,${from.length}}`
  if (isAll(to, '0')) return `"0"{1,${to.length}}`
  return cutRange([firstDigit(from), firstDigit(to)], (leads, [fromRest, toRest]) => {
    if (fromRest === '') return digit(...leads)
    const rest = fractionDigits(fromRest, toRest)
    return `${digit(...leads)} ${isAll(fromRest, '0') ? `(${rest})?` : rest}`
  })
}

/**
 * Cuts a range in up to three: the lowest lead with the rests from its end upwards, leads that any
 * rest may follow, and the highest lead with the rests up to its end.
 */
function cutRange(
  [from, to]: Pair<Cut>,
  write: (leads: Pair<bigint>, rests: Pair<string>) => string,
): string {
  if (from.lead === to.lead) return write([from.lead, to.lead], [from.rest, to.rest])
  const zeros = '0'.repeat(from.rest.length)
  const nines = '9'.repeat(from.rest.length)
  const first = from.rest === zeros ? from.lead : from.lead + 1n
  const last = to.rest === nines ? to.lead : to.lead - 1n
  const parts: string[] = []
  if (first > from.lead) parts.push(write([from.lead, from.lead], [from.rest, nines]))
  if (first <= last) parts.push(write([first, last], [zeros, nines]))
  if (last < to.lead) parts.push(write([to.lead, to.lead], [zeros, to.rest]))
  return oneOf(parts)
}

function firstDigit(text: string): Cut {
  return { lead: BigInt(text.slice(0, 1)), rest: text.slice(1) }
}

function digit(from: bigint, to: bigint): string {
  return from === to ? `"${from}"` : `[${from}-${to}]`
}

function isAll(text: string, character: '0' | '9'): boolean {
  return text === character.repeat(text.length)
}

function oneOf(parts: readonly string[]): string {
  const trimmed = parts.map(part => part.trim())
  return trimmed.length > 1 ? `(${trimmed.join(' | ')})` : trimmed.join('')
}
