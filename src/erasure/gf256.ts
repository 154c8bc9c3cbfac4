/**
 * The field with 256 elements: bytes as polynomials over GF(2), modulo x⁸+x⁴+x³+x²+1 (0x11d, which
 * ISA-L, Backblaze's and most other Reed–Solomon codes use). Adding is XOR. Multiplying goes by
 * logarithms to base 2, which generates all 255 elements but zero.
 */
const polynomial = 0x11d
const order = 255

const { powers, logarithms } = tabulate()

/** The product of two bytes. */
export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return powers[(logarithms[a] ?? 0) + (logarithms[b] ?? 0)] ?? 0
}

/** The byte that multiplies `a` to one. @throws RangeError for zero, which has none */
export function inverse(a: number): number {
  if (a === 0) throw new RangeError('Zero has no inverse')
  return powers[order - (logarithms[a] ?? 0)] ?? 0
}

function tabulate(): { readonly powers: Uint8Array; readonly logarithms: Uint8Array } {
  // Twice as long as there are powers, so that the sum of two logarithms needs no modulo.
  const powers = new Uint8Array(2 * order)
  const logarithms = new Uint8Array(order + 1)
  let power = 1
  for (let exponent = 0; exponent < order; exponent++) {
    powers[exponent] = power
    powers[exponent + order] = power
    logarithms[power] = exponent
    power = power < 0x80 ? power << 1 : (power << 1) ^ polynomial
  }
  return { powers, logarithms }
}
