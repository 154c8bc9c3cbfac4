import type { Clock } from './clock.ts'
import { nextTurn } from './turn.ts'

interface Timer {
  readonly atMs: number
  readonly order: number
  readonly callback: () => void
  isCancelled: boolean
}

/** Virtual time after which `settle` takes a promise for one that never settles. */
const patienceMs = 86_400_000

/**
 * A clock for worlds made of promises: time moves from timer to timer, and before it moves,
 * everything that can go on without time goes on. So whole swarms run in virtual time, in the same
 * order every time.
 */
export class SimulatedClock implements Clock {
  #wallOffsetMs: number
  #elapsedMs = 0
  #order = 0
  /** A binary heap: the timer that is due first is at 0. */
  readonly #heap: Timer[] = []

  constructor(startMs = 1_700_000_000_000) {
    this.#wallOffsetMs = startMs
  }

  now(): number {
    return this.#wallOffsetMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(ms: number, callback: () => void): () => void {
    const atMs = this.#elapsedMs + Math.max(ms, 0)
    const timer: Timer = { atMs, order: this.#order, callback, isCancelled: false }
    this.#order += 1
    this.#push(timer)
    return () => {
      timer.isCancelled = true
    }
  }

  /** Sets the wall clock without moving monotonic time: what NTP or a person does. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms
  }

  /** Lets `ms` pass. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms
    await nextTurn()
    for (let next = this.#first(); next && next.atMs <= untilMs; next = this.#first()) {
      this.#fire(next.atMs)
      await nextTurn()
    }
    this.#elapsedMs = untilMs
  }

  /** Lets time pass until a promise settles. @throws Error when nothing will make it */
  async settle<T>(promise: Promise<T>): Promise<T> {
    const untilMs = this.#elapsedMs + patienceMs
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    await nextTurn()
    while (!isSettled) {
      const next = this.#first()
      if (next === undefined || next.atMs > untilMs) throw new Error('Nothing settles this promise')
      this.#fire(next.atMs)
      await nextTurn()
    }
    return await promise
  }

  /** Fires all timers of one instant, those too that others of them set. */
  #fire(atMs: number): void {
    this.#elapsedMs = atMs
    for (let next = this.#first(); next?.atMs === atMs; next = this.#first()) {
      this.#pop()
      next.callback()
    }
  }

  #first(): Timer | undefined {
    while (this.#heap[0]?.isCancelled) this.#pop()
    return this.#heap[0]
  }

  #push(timer: Timer): void {
    let position = this.#heap.length
    this.#heap.push(timer)
    while (position > 0) {
      const parentPosition = (position - 1) >> 1
      const parent = this.#heap[parentPosition]
      if (parent === undefined || isBefore(parent, timer)) break
      this.#heap[position] = parent
      position = parentPosition
    }
    this.#heap[position] = timer
  }

  #pop(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    let position = 0
    for (;;) {
      const left = this.#heap[2 * position + 1]
      const right = this.#heap[2 * position + 2]
      const isRight = left && right && isBefore(right, left)
      const child = isRight ? right : left
      if (child === undefined || isBefore(last, child)) break
      this.#heap[position] = child
      position = 2 * position + (isRight ? 2 : 1)
    }
    this.#heap[position] = last
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
