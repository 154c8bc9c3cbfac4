import type { PeerId } from '../../key/peer-id.ts'
import { membersMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'

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

/** The measures of all peers that were connected lately: they outlive their connections. */
export class MeasuresTable {
  readonly #measures = new Lru<PeerId, PeerMeasures>(2 * membersMax)

  of(peer: PeerId): PeerMeasures {
    const known = this.#measures.get(peer)
    if (known !== undefined) return known
    const measures = new PeerMeasures()
    this.#measures.set(peer, measures, 1)
    return measures
  }
}

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
