/** Finds stop strings in text that arrives in pieces, and holds back what may become one. */
export class StopScanner {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter(stop => stop.length > 0)
  }

  /** What is safe to show now, and the stop string that ended the text, when one did. */
  push(text: string): { text: string; stop?: string } {
    const seen = this.#held + text
    const found = this.#stops
      .map(stop => ({ stop, index: seen.indexOf(stop) }))
      .filter(match => match.index !== -1)
      .sort((a, b) => a.index - b.index)[0]
    if (found !== undefined) {
      this.#held = ''
      return { text: seen.slice(0, found.index), stop: found.stop }
    }
    const heldLength = Math.max(0, ...this.#stops.map(stop => overlapLength(seen, stop)))
    this.#held = seen.slice(seen.length - heldLength)
    return { text: seen.slice(0, seen.length - heldLength) }
  }

  /** What was held back and did not become a stop string. */
  end(): string {
    const text = this.#held
    this.#held = ''
    return text
  }
}

/** Length of the longest end of `text` that `stop` begins with. */
function overlapLength(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
