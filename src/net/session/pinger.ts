import { peerPingIntervalMs, peerPingTimeoutMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { peerError } from '../peer-error.ts'

export interface PingerOptions {
  readonly send: (id: number) => void
  readonly onRoundTrip: (ms: number) => void
  /** The peer has been silent after a ping: it is gone, whatever TCP thinks. */
  readonly onSilent: () => void
}

interface Ping {
  readonly sentMs: number
  readonly resolve: (ms: number) => void
  readonly reject: (error: unknown) => void
}

/** Measures the round trip of a session in intervals, and notices when its peer is gone. */
export class Pinger {
  readonly #clock: Clock
  readonly #options: PingerOptions
  readonly #pings = new Map<number, Ping>()
  #nextId = 1
  #cancelTimer: () => void = () => undefined
  /** The first round trip shares the processor with the handshakes and says little. */
  #isWarm = false

  constructor(clock: Clock, options: PingerOptions) {
    this.#clock = clock
    this.#options = options
  }

  start(): void {
    const id = this.#nextId
    this.ping().catch(() => undefined)
    this.#cancelTimer = this.#clock.after(peerPingTimeoutMs, () => {
      // Only this ping is due: others may have been sent a moment ago.
      if (this.#pings.has(id)) return this.#options.onSilent()
      const restMs = peerPingIntervalMs - peerPingTimeoutMs
      this.#cancelTimer = this.#clock.after(restMs, () => this.start())
    })
  }

  /** The round trip now, in milliseconds. @throws peer_unreachable */
  ping(): Promise<number> {
    const id = this.#nextId
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1
    return new Promise((resolve, reject) => {
      this.#pings.set(id, { sentMs: this.#clock.monotonicMs(), resolve, reject })
      this.#options.send(id)
    })
  }

  receivePong(id: number): void {
    const ping = this.#pings.get(id)
    if (ping === undefined) return
    this.#pings.delete(id)
    const roundTripMs = this.#clock.monotonicMs() - ping.sentMs
    if (this.#isWarm) this.#options.onRoundTrip(roundTripMs)
    else this.ping().catch(() => undefined)
    this.#isWarm = true
    ping.resolve(roundTripMs)
  }

  stop(): void {
    this.#cancelTimer()
    for (const { reject } of this.#pings.values()) reject(peerError('peer_unreachable'))
    this.#pings.clear()
  }
}
