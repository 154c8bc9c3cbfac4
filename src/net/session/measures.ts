/** Weight of a new sample. About the last ten samples count. */
const weight = 0.2

/** An exponentially weighted mean; undefined until the first sample. */
export class MovingMean {
  #mean: number | undefined

  get value(): number | undefined {
    return this.#mean
  }

  add(sample: number): void {
    this.#mean = this.#mean === undefined ? sample : this.#mean + weight * (sample - this.#mean)
  }
}

/** Shortest transfer that says something about bandwidth: less is mostly round trip. */
const sampleBytesMin = 64 * 1024

/** What is measured of one peer over all of its connections. */
export class PeerMeasures {
  readonly #roundTripMs = new MovingMean()
  readonly #bandwidth = new MovingMean()
  bytesReceived = 0
  bytesSent = 0

  get roundTripMs(): number | undefined {
    return this.#roundTripMs.value
  }

  /** Bytes per second. */
  get bandwidth(): number | undefined {
    return this.#bandwidth.value
  }

  roundTripMeasured(ms: number): void {
    this.#roundTripMs.add(ms)
  }

  /** Bytes that came while the reader waited for them, and for how long it waited. */
  transferMeasured(bytes: number, waitedMs: number): void {
    if (bytes >= sampleBytesMin && waitedMs > 0) this.#bandwidth.add((bytes * 1_000) / waitedMs)
  }
}
