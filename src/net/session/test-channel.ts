import { afterThisTurn, nextTurn } from '../../std/turn.ts'
import type { ByteChannel, ByteChannelListeners } from './byte-channel.ts'

/** Two ends of a byte stream within one process, as a transport would give: for tests. */
export function channelPair(): readonly [TestChannel, TestChannel] {
  const first = new TestChannel()
  const second = new TestChannel()
  first.other = second
  second.other = first
  return [first, second]
}

/** Resolves when what is under way between two channels has got there, and its answer back. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await nextTurn()
}

export class TestChannel implements ByteChannel {
  other: TestChannel | undefined
  isOpen = true
  /** Stops the other side's bytes here, as a full window does. */
  isHeld = false
  sentBytes = 0
  readonly pieces: Uint8Array[] = []
  #listeners: ByteChannelListeners | undefined
  #onDrain: (() => void)[] = []

  send(bytes: Uint8Array): boolean {
    this.sentBytes += bytes.length
    this.other?.pieces.push(bytes.slice())
    this.other?.deliver()
    return this.other?.isHeld !== true
  }

  drained(): Promise<void> {
    return new Promise(resolve => this.#onDrain.push(resolve))
  }

  listen(listeners: ByteChannelListeners): void {
    this.#listeners = listeners
    this.deliver()
  }

  close(): Promise<void> {
    this.abort()
    return Promise.resolve()
  }

  abort(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#drain()
    this.#listeners?.onClose()
    afterThisTurn(() => this.other?.abort())
  }

  /** Lets through what was held. */
  release(): void {
    this.isHeld = false
    this.deliver()
    this.other?.drain()
  }

  drain(): void {
    this.#drain()
  }

  deliver(): void {
    afterThisTurn(() => {
      if (this.isHeld || this.#listeners === undefined) return
      for (const piece of this.pieces.splice(0)) this.#listeners.onBytes(piece)
    })
  }

  #drain(): void {
    for (const resolve of this.#onDrain.splice(0)) resolve()
  }
}
