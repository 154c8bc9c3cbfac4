export interface StopScan {
  /** Text that is decided: no stop string can begin in it any more. */
  readonly text: string
  /** The stop string that was met; nothing after `text` counts then. */
  readonly stopSequence?: string
}

/**
 * Looks for stop strings in text that arrives in pieces. What might be the beginning of one is held
 * back. Of several stop strings the one whose end comes first wins, and of those the longest: so
 * the cut into pieces does not matter.
 */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter(stop => stop.length > 0)
  }

  push(text: string): StopScan {
    const pending = this.#held + text
    const match = this.#firstMatch(pending)
    if (match !== undefined) {
      this.#held = ''
      return { text: pending.slice(0, match.start), stopSequence: match.stop }
    }
    const heldLength = longestPartial(pending, this.#stops)
    this.#held = pending.slice(pending.length - heldLength)
    return { text: pending.slice(0, pending.length - heldLength) }
  }

  /** What was held back, once no more text comes. */
  end(): string {
    const held = this.#held
    this.#held = ''
    return held
  }

  #firstMatch(text: string): { start: number; stop: string } | undefined {
    const matches = this.#stops
      .map(stop => ({ start: text.indexOf(stop), stop }))
      .filter(match => match.start !== -1)
    const end = (match: { start: number; stop: string }): number => match.start + match.stop.length
    return matches.sort((a, b) => end(a) - end(b) || a.start - b.start)[0]
  }
}

/** Length of the longest end of `text` that begins, but does not complete, one of `marks`. */
export function longestPartial(text: string, marks: readonly string[]): number {
  const lengths = marks.map(mark => {
    let length = Math.min(mark.length - 1, text.length)
    while (length > 0 && !text.endsWith(mark.slice(0, length))) length -= 1
    return Math.max(0, length)
  })
  return Math.max(0, ...lengths)
}
