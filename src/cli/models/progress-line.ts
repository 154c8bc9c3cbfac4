import { bytesText, secondsText } from '../format.ts'
import type { Terminal } from '../terminal.ts'

export interface Progress {
  readonly receivedBytes: number
  readonly totalBytes: number | undefined
  /** 0 until it is known. */
  readonly bytesPerSecond: number
}

const clearLine = '\r\u001b[K'

/**
 * One line of stderr that is drawn over and over. Without a TTY only the steps are told, each once.
 */
export class ProgressLine {
  readonly #terminal: Terminal
  #label = ''

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  step(label: string): void {
    this.#label = label
    if (this.#terminal.canDraw) this.#terminal.writeError(`${clearLine}${label} …`)
    else this.#terminal.writeError(`${label}\n`)
  }

  progress(progress: Progress): void {
    if (!this.#terminal.canDraw) return
    const text = progressText(this.#label, progress, this.#terminal.columns - 1)
    this.#terminal.writeError(`${clearLine}${text}`)
  }

  clear(): void {
    if (this.#terminal.canDraw) this.#terminal.writeError(clearLine)
  }
}

/** `Downloading  45% ▕████▏ 1.2 GB of 2.7 GB, 55 MB/s, 27 s left`, cut to `columns` characters. */
export function progressText(label: string, progress: Progress, columns: number): string {
  const { receivedBytes, totalBytes, bytesPerSecond } = progress
  const rate = bytesPerSecond > 0 ? `, ${bytesText(bytesPerSecond)}/s` : ''
  if (totalBytes === undefined || totalBytes === 0) {
    return `${label}  ${bytesText(receivedBytes)}${rate}`.slice(0, columns)
  }
  const share = Math.min(1, receivedBytes / totalBytes)
  const secondsLeft = (totalBytes - receivedBytes) / bytesPerSecond
  const left = bytesPerSecond > 0 && share < 1 ? `, ${secondsText(secondsLeft)} left` : ''
  const head = `${label} ${String(Math.floor(share * 100)).padStart(3)}% `
  const tail = ` ${bytesText(receivedBytes)} of ${bytesText(totalBytes)}${rate}${left}`
  const barWidth = Math.min(30, columns - head.length - tail.length - 2)
  if (barWidth < 5) return `${head}${tail.trimStart()}`.slice(0, columns)
  const filled = Math.round(share * barWidth)
  return `${head}▕${'█'.repeat(filled)}${' '.repeat(barWidth - filled)}▏${tail}`
}
