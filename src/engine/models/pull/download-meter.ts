import type { Clock } from '../../../std/clock.ts'

export interface DownloadProgress {
  readonly receivedBytes: number
  /** Undefined where the server does not tell. */
  readonly totalBytes: number | undefined
  /** Smoothed over the last seconds; 0 until measured. */
  readonly bytesPerSecond: number
}

/** People read ten numbers a second at most, and a chunk comes every millisecond. */
const reportEveryMs = 100
/**
 * Weight of the newest interval in the smoothed rate: about three seconds of memory at ten reports
 * a second.
 */
const newestWeight = 0.03

/**
 * Measures the rate of a download and reports it now and then, always at its first chunk and at its
 * end.
 */
export class DownloadMeter {
  readonly #clock: Clock
  readonly #onProgress: ((progress: DownloadProgress) => void) | undefined
  #totalBytes: number | undefined
  #bytesPerSecond = 0
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #reportedBytes: number

  constructor(
    clock: Clock,
    receivedBytes: number,
    onProgress: ((progress: DownloadProgress) => void) | undefined,
  ) {
    this.#clock = clock
    this.#reportedBytes = receivedBytes
    this.#onProgress = onProgress
  }

  /**
   * A connection starts at `receivedBytes`: pauses between connections do not count into the rate.
   */
  start(receivedBytes: number, totalBytes: number | undefined): void {
    this.#totalBytes = totalBytes
    this.#report(receivedBytes)
  }

  received(receivedBytes: number): void {
    const elapsedMs = this.#clock.monotonicMs() - this.#reportedAtMs
    if (elapsedMs < reportEveryMs) return
    const rate = ((receivedBytes - this.#reportedBytes) * 1_000) / elapsedMs
    const weight = this.#bytesPerSecond === 0 ? 1 : newestWeight
    this.#bytesPerSecond += (rate - this.#bytesPerSecond) * weight
    this.#report(receivedBytes)
  }

  finish(receivedBytes: number): void {
    this.#report(receivedBytes)
  }

  #report(receivedBytes: number): void {
    this.#reportedAtMs = this.#clock.monotonicMs()
    this.#reportedBytes = receivedBytes
    this.#onProgress?.({
      receivedBytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond: Math.round(this.#bytesPerSecond),
    })
  }
}
