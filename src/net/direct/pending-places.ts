import { inboundPendingMax } from '../../limits.ts'

/** Counts connections that have proved nothing yet: in all, and of each address. */
export class PendingPlaces {
  readonly #perAddressMax: number
  readonly #countOf = new Map<string, number>()
  #count = 0

  constructor(perAddressMax: number) {
    this.#perAddressMax = perAddressMax
  }

  /** Takes a place, and returns what gives it back; undefined: there is none. */
  enter(address: string): (() => void) | undefined {
    const source = sourceOf(address)
    const count = this.#countOf.get(source) ?? 0
    if (this.#count >= inboundPendingMax || count >= this.#perAddressMax) return undefined
    this.#count += 1
    this.#countOf.set(source, count + 1)
    return () => {
      this.#count -= 1
      const left = (this.#countOf.get(source) ?? 1) - 1
      if (left > 0) this.#countOf.set(source, left)
      else this.#countOf.delete(source)
    }
  }
}

/**
 * What one stranger can have many of: an IPv4 address, or the first 64 bits of an IPv6 one, as
 * Node writes it (`::ffff:1.2.3.4` is IPv4).
 */
export function sourceOf(address: string): string {
  const text = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!text.includes(':')) return text
  const [head = '', tail] = text.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':')
}
