import { OperationError } from '../../../errors.ts'
import type { EngineLoad } from '../../../interface/engine.ts'
import { assert } from '../../../std/assert.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { type LeaseRequest, type LeaseStart, planLease, planVictim } from './plan-lease.ts'
import type { Resident } from './plan-resume.ts'

/** What the pool lends: something with resident tokens. */
export interface PoolSlot {
  readonly resident: Resident
}

export interface Lease<Slot> {
  readonly slot: Slot
  /** What it is best begun from. */
  readonly start: LeaseStart<Slot>
  /** Gives the slot back. Call once, when nothing of the work runs any more. */
  release(): void
}

export interface SequencePoolOptions {
  /** Requests that may wait. */
  readonly queueMax: number
  /** Whether tokens can be erased from the end of a slot. */
  readonly isCuttable: boolean
}

interface Waiter<Slot> {
  readonly request: LeaseRequest
  readonly grant: (lease: Lease<Slot>) => void
  readonly refuse: (error: unknown) => void
}

/** Weight of the newest measurement in an exponentially weighted mean. */
const newestWeight = 0.2
/** Guess of a request's service time before one was measured. */
const firstServiceMs = 1_000

/**
 * Lends a fixed set of sequences, first come first served, with a bounded queue in front. Which one
 * somebody gets, and what it is begun from, is `planLease`'s to say.
 */
export class SequencePool<Slot extends PoolSlot> {
  readonly #clock: Clock
  readonly #options: SequencePoolOptions
  readonly #slots: readonly Slot[]
  /** Longest unused first. */
  #idle: Slot[]
  readonly #waiting: Waiter<Slot>[] = []
  #serviceMs = firstServiceMs
  #closed: OperationError | undefined

  constructor(slots: readonly Slot[], clock: Clock, options: SequencePoolOptions) {
    this.#slots = slots
    this.#idle = [...slots]
    this.#clock = clock
    this.#options = options
  }

  get load(): EngineLoad {
    return { running: this.#slots.length - this.#idle.length, waiting: this.#waiting.length }
  }

  /** All slots, lent or not: for looking at what is resident. */
  get slots(): readonly Slot[] {
    return this.#slots
  }

  /**
   * @throws engine_busy with `retryAfterMs` when the queue is full; the signal's reason when it
   * fires first
   */
  async lease(request: LeaseRequest, options: AbortOptions): Promise<Lease<Slot>> {
    options.signal.throwIfAborted()
    if (this.#closed !== undefined) throw this.#closed
    if (this.#idle.length > 0) return this.#lendFor(request)
    if (this.#waiting.length >= this.#options.queueMax) throw this.#busy()
    return await this.#wait(request, options.signal)
  }

  /**
   * The idle slot whose resident tokens are worth least, for work that can wait until nobody else
   * needs it. @throws engine_busy, when none is idle
   */
  leaseIdle(): Lease<Slot> {
    if (this.#closed !== undefined) throw this.#closed
    if (this.#idle.length === 0) throw this.#busy()
    const slots = this.#idle
    const victim = planVictim(slots.map(({ resident }) => ({ resident, isIdle: true })))
    return this.#lend(slotAt(slots, victim), { type: 'resident' })
  }

  /**
   * Refuses who waits and whoever comes. Leases that are out count as given back; the slots are not
   * touched.
   */
  close(reason: OperationError): void {
    this.#closed = reason
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(reason)
    this.#idle = [...this.#slots]
  }

  #wait(request: LeaseRequest, signal: AbortSignal): Promise<Lease<Slot>> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', onAbort)
        const index = this.#waiting.indexOf(waiter)
        if (index !== -1) this.#waiting.splice(index, 1)
      }
      const onAbort = (): void => waiter.refuse(signal.reason)
      const waiter: Waiter<Slot> = {
        request,
        grant: lease => {
          leave()
          resolve(lease)
        },
        refuse: error => {
          leave()
          reject(error)
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(waiter)
    })
  }

  #lendFor(request: LeaseRequest): Lease<Slot> {
    // Busy ones cannot be lent, but copied from.
    const slots = [...this.#idle, ...this.#slots.filter(slot => !this.#idle.includes(slot))]
    const idle = this.#idle.length
    const candidates = slots.map(({ resident }, index) => ({ resident, isIdle: index < idle }))
    const { slot, start } = planLease(request, candidates, this.#options)
    if (start.type !== 'fork') return this.#lend(slotAt(slots, slot), start)
    const source = slotAt(slots, start.source)
    this.#touch(source)
    return this.#lend(slotAt(slots, slot), { type: 'fork', source })
  }

  #lend(slot: Slot, start: LeaseStart<Slot>): Lease<Slot> {
    this.#idle = this.#idle.filter(other => other !== slot)
    const startedMs = this.#clock.monotonicMs()
    let isLent = true
    const release = (): void => {
      assert(isLent, 'A sequence is given back once')
      isLent = false
      if (this.#closed !== undefined) return
      const tookMs = this.#clock.monotonicMs() - startedMs
      this.#serviceMs += newestWeight * (tookMs - this.#serviceMs)
      this.#takeBack(slot)
    }
    return { slot, start, release }
  }

  /** Its prefix was of use just now. */
  #touch(slot: Slot): void {
    if (!this.#idle.includes(slot)) return
    this.#idle = [...this.#idle.filter(other => other !== slot), slot]
  }

  #takeBack(slot: Slot): void {
    this.#idle.push(slot)
    const [next] = this.#waiting
    // Lent in the same turn: whoever asked later must not slip in before the waiter's promise has
    // run.
    if (next !== undefined) next.grant(this.#lendFor(next.request))
  }

  #busy(): OperationError {
    const roundsAhead = (this.#waiting.length + 1) / this.#slots.length
    return new OperationError(
      'engine_busy',
      `The engine runs ${this.#slots.length} requests, and ${this.#waiting.length} wait already`,
      {
        origin: 'engine',
        retryable: true,
        retryAfterMs: Math.ceil(roundsAhead * this.#serviceMs),
      },
    )
  }
}

function slotAt<Slot>(slots: readonly Slot[], index: number): Slot {
  const slot = slots[index]
  assert(slot !== undefined, 'The plan names a slot')
  return slot
}
