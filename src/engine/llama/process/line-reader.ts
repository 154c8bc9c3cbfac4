import { engineLastLinesMax, engineLineMax } from '../../../limits.ts'

/** Cuts what a process writes into lines of bounded length, and keeps the last ones. */
export class LineReader {
  readonly #onLine: (line: string) => void
  readonly #last: string[] = []
  #begun = ''

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** The last lines, one that was only begun included. */
  get last(): readonly string[] {
    return this.#begun === '' ? [...this.#last] : [...this.#last, this.#begun]
  }

  push(text: string): void {
    const lines = `${this.#begun}${text}`.split('\n')
    this.#begun = (lines.pop() ?? '').slice(0, engineLineMax)
    for (const line of lines) {
      const kept = line.trimEnd().slice(0, engineLineMax)
      if (kept === '') continue
      this.#last.push(kept)
      if (this.#last.length > engineLastLinesMax) this.#last.shift()
      this.#onLine(kept)
    }
  }
}
