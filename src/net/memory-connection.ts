import type { PeerId, PeerView } from '../interface/network.ts'
import type { Clock } from '../std/clock.ts'
import { type AnswererComponents, MemoryAnswerer } from './memory-answerer.ts'
import { MemoryAsker } from './memory-asker.ts'
import { type AnswererFrame, type AskerFrame, type Frame, frameBytes } from './memory-frame.ts'
import type { MemoryLink } from './memory-world.ts'

export interface MemoryConnectionComponents extends Omit<AnswererComponents, 'send'> {
  readonly clock: Clock
  readonly link: MemoryLink
  readonly send: (frame: Frame) => void
}

/** Weight of the newest stream in the bandwidth that is shown. */
const bandwidthWeight = 0.3

/** One end of a connection: both its roles, and what is seen of the peer. */
export class MemoryConnection {
  readonly link: MemoryLink
  readonly asker: MemoryAsker
  readonly #answerer: MemoryAnswerer
  readonly #peer: PeerId
  readonly #clock: Clock
  readonly #connectedAt: number
  readonly #streams = new Map<number, { readonly sinceMs: number; bytes: number }>()
  #bandwidth: number | undefined
  #bytesReceived = 0
  #bytesSent = 0

  constructor(components: MemoryConnectionComponents) {
    const { clock, link, peer } = components
    const send = (frame: Frame): void => {
      this.#bytesSent += frameBytes(frame)
      if (frame.type === 'open') {
        this.#streams.set(frame.id, { sinceMs: clock.monotonicMs(), bytes: 0 })
      } else if (frame.type === 'cancel') this.#streams.delete(frame.id)
      components.send(frame)
    }
    this.link = link
    this.#peer = peer
    this.#clock = clock
    this.#connectedAt = clock.now()
    this.asker = new MemoryAsker({ clock, send })
    this.#answerer = new MemoryAnswerer({ ...components, send })
  }

  view(): PeerView {
    return {
      id: this.#peer,
      address: `/memory/${this.#peer}`,
      direction: this.link.dialer === this.#peer ? 'inbound' : 'outbound',
      isRelayed: false,
      roundTripMs: this.link.roundTripMs,
      bandwidth: this.#bandwidth,
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#bytesSent,
      connectedAt: this.#connectedAt,
    }
  }

  receive(frame: Frame): void {
    this.#bytesReceived += frameBytes(frame)
    if (isAsker(frame)) this.#answerer.receive(frame)
    else {
      this.#measure(frame)
      this.asker.receive(frame)
    }
  }

  close(): void {
    this.asker.close()
    this.#answerer.close()
  }

  #measure(frame: AnswererFrame): void {
    const stream = this.#streams.get(frame.id)
    if (stream === undefined) return
    if (frame.type === 'message') {
      stream.bytes += frame.body.length
      return
    }
    this.#streams.delete(frame.id)
    const seconds = (this.#clock.monotonicMs() - stream.sinceMs) / 1_000
    if (seconds === 0 || stream.bytes === 0) return
    const before = this.#bandwidth ?? stream.bytes / seconds
    this.#bandwidth = before + bandwidthWeight * (stream.bytes / seconds - before)
  }
}

function isAsker(frame: Frame): frame is AskerFrame {
  switch (frame.type) {
    case 'request':
    case 'open':
    case 'cancel':
    case 'take':
      return true
    default:
      return false
  }
}
