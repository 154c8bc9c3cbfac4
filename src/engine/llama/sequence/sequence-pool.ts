import { OperationError } from '../../../errors.ts'
import type { EngineLoad } from '../../../interface/engine.ts'
import { engineQuietMs, engineYieldingMax } from '../../../limits.ts'
import { assert } from '../../../std/assert.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { type LeaseRequest, type LeaseStart, planLease } from './plan-lease.ts'
import type { Resident } from './plan-resume.ts'

/** What the pool lends: something with resident tokens. */
export interface PoolSlot {
  readonly resident: Resident
}

export interface LeaseOptions extends AbortOptions {
  /**
   * Makes it work that nobody waits for: until then, on the monotonic clock, it is only served when
   * nobody else has wanted the engine for a moment; from then on as any other, one at a time.
   */
  readonly yieldsUntilMs?: number
}

export interface Lease<Slot> {
  readonly slot: Slot
  /** What it is best begun from. */
  readonly start: LeaseStart<Slot>
  /** Of work that yields: fires when somebody waits for it to give the slot back. */
  readonly wanted?: AbortSignal
  /** Gives the slot back. Call once, when nothing of the work runs any more. */
  release(): void
}

export interface SequencePoolOptions<Slot extends PoolSlot> {
  /** Requests that may wait. */
  readonly queueMax: number
  /** Whether tokens can be erased from the end of a slot. */
  readonly isCuttable: boolean
  /** All pools of the machine, this one too: their work takes the same cores. @default this one */
  readonly machine?: Set<SequencePool<Slot>>
}

interface Waiter<Slot> {
  readonly request: LeaseRequest
  readonly yieldsUntilMs: number | undefined
  /** Until then. */
  hasYielded: boolean
  readonly grant: (lease: Lease<Slot>) => void
  readonly refuse: (error: unknown) => void
}

/** Work that yields and has a slot. */
interface Yielder {
  readonly untilMs: number
  readonly wanted: AbortController
}

/** Weight of the newest measurement in an exponentially weighted mean. */
const newestWeight = 0.2
/** Guess of a request's service time before one was measured. */
const firstServiceMs = 1_000

/**
 * Lends a fixed set of sequences, first come first served, with a bounded queue in front. Which one
 * somebody gets, and what it is begun from, is `planLease`'s to say.
 *
 * Work that yields has one of them at most. Who comes while it still yields waits until it has
 * given its slot back, even where others are idle: that takes one native call, which the own first
 * one would wait for too, and the slot may be the best to begin from. Of all pools of a machine one
 * has such work, which makes way for whoever comes to any of them; he need not wait for another's.
 */
export class SequencePool<Slot extends PoolSlot> {
  /** All of them, lent or not: for looking at what is resident. */
  readonly slots: readonly Slot[]
  readonly #clock: Clock
  readonly #options: SequencePoolOptions<Slot>
  readonly #machine: Set<SequencePool<Slot>>
  /** The same, longest unused first. What work that yields does with them is no use. */
  #order: readonly Slot[]
  readonly #lent = new Set<Slot>()
  readonly #waiting: Waiter<Slot>[] = []
  readonly #yielding: Waiter<Slot>[] = []
  #yielder: Yielder | undefined
  /** When the last one that does not yield was given back. */
  #wantedAtMs: number = Number.NEGATIVE_INFINITY
  #cancelQuietTimer: (() => void) | undefined
  #serviceMs = firstServiceMs
  #closed: OperationError | undefined

  constructor(slots: readonly Slot[], clock: Clock, options: SequencePoolOptions<Slot>) {
    this.slots = slots
    this.#order = slots
    this.#clock = clock
    this.#options = options
    this.#machine = options.machine ?? new Set()
    this.#machine.add(this)
  }

  /** Without work that yields: it is in nobody's way. */
  get load(): EngineLoad {
    const running = this.#lent.size - (this.#yielder === undefined ? 0 : 1)
    return { running, waiting: this.#waiting.length }
  }

  /**
   * @throws engine_busy with `retryAfterMs` when the queue is full; the signal's reason when it
   * fires first
   */
  async lease(request: LeaseRequest, options: LeaseOptions): Promise<Lease<Slot>> {
    const { signal, yieldsUntilMs } = options
    signal.throwIfAborted()
    if (this.#closed !== undefined) throw this.#closed
    if (yieldsUntilMs !== undefined) {
      if (this.#isUnwanted && this.#quietInMs === 0)
        return this.#lendToYielder(request, yieldsUntilMs)
      if (this.#yielding.length >= engineYieldingMax) throw this.#busy()
      return await this.#wait(request, signal, yieldsUntilMs)
    }
    for (const pool of this.#machine) pool.#callBack()
    const isFree = !this.#callBack() && this.#lent.size < this.slots.length
    if (isFree) return this.#lend(request)
    // Whoever waits for the slot that was called back has a place.
    const places =
      this.slots.length - this.#lent.size + (this.#yielder?.wanted.signal.aborted ? 1 : 0)
    if (this.#waiting.length >= this.#options.queueMax + places) throw this.#busy()
    return await this.#wait(request, signal)
  }

  /**
   * Refuses who waits and whoever comes. Leases that are out count as given back; the slots are not
   * touched.
   */
  close(reason: OperationError): void {
    this.#closed = reason
    for (const waiter of [...this.#waiting, ...this.#yielding]) waiter.refuse(reason)
    this.#lent.clear()
    this.#yielder = undefined
    this.#cancelQuietTimer?.()
    this.#machine.delete(this)
  }

  /** Whether no pool of the machine has anything to do. */
  get #isUnwanted(): boolean {
    const pools = [...this.#machine]
    return pools.every(pool => pool.#lent.size === 0 && pool.#waiting.length === 0)
  }

  /** How long it still is until nobody has wanted any pool for a moment. */
  get #quietInMs(): number {
    const wantedAtMs = Math.max(...[...this.#machine].map(pool => pool.#wantedAtMs))
    return Math.max(0, wantedAtMs + engineQuietMs - this.#clock.monotonicMs())
  }

  #wait(request: LeaseRequest, signal: AbortSignal, yieldsUntilMs?: number): Promise<Lease<Slot>> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', onAbort)
        cancelTimer?.()
        remove(this.#waiting, waiter)
        remove(this.#yielding, waiter)
      }
      const onAbort = (): void => waiter.refuse(signal.reason)
      const waiter: Waiter<Slot> = {
        request,
        yieldsUntilMs,
        hasYielded: false,
        grant: lease => {
          leave()
          resolve(lease)
        },
        refuse: error => {
          leave()
          reject(error)
        },
      }
      const cancelTimer = this.#queue(waiter)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Returns what ends the time for which it yields. */
  #queue(waiter: Waiter<Slot>): (() => void) | undefined {
    const { yieldsUntilMs } = waiter
    if (yieldsUntilMs === undefined) {
      this.#waiting.push(waiter)
      return undefined
    }
    this.#yielding.push(waiter)
    this.#awaitQuiet()
    const leftMs = Math.max(0, yieldsUntilMs - this.#clock.monotonicMs())
    return this.#clock.after(leftMs, () => {
      waiter.hasYielded = true
      this.#serve()
    })
  }

  /** Work that has yielded long enough queues up behind those who wait, one at a time. */
  #promote(): void {
    if (this.#yielder !== undefined || this.#waiting.some(({ hasYielded }) => hasYielded)) return
    const waiter = this.#yielding.find(({ hasYielded }) => hasYielded)
    if (waiter === undefined) return
    remove(this.#yielding, waiter)
    this.#waiting.push(waiter)
  }

  /**
   * Lends in the same turn in which a slot came back: whoever asks later must not slip in before
   * the waiter's promise has run.
   */
  #serve(): void {
    this.#promote()
    while (this.#lent.size < this.slots.length) {
      const isForYielders = this.#isUnwanted && this.#quietInMs === 0
      const next = this.#waiting[0] ?? (isForYielders ? this.#yielding[0] : undefined)
      if (next === undefined || this.#callBack()) break
      const { request, yieldsUntilMs } = next
      const isYielding = yieldsUntilMs !== undefined
      next.grant(isYielding ? this.#lendToYielder(request, yieldsUntilMs) : this.#lend(request))
    }
    this.#awaitQuiet()
  }

  /** Work that yields begins when it is quiet: often somebody comes at once. */
  #awaitQuiet(): void {
    if (!this.#isUnwanted || this.#yielding.length === 0) return
    this.#cancelQuietTimer?.()
    this.#cancelQuietTimer = this.#clock.after(this.#quietInMs, () => this.#serve())
  }

  /** Whether the slot of work that yields is about to come back; asks for it. */
  #callBack(): boolean {
    if (this.#yielder === undefined) return false
    const { wanted, untilMs } = this.#yielder
    if (wanted.signal.aborted) return true
    if (untilMs <= this.#clock.monotonicMs()) return false
    wanted.abort(new DOMException('Somebody waits for an answer', 'AbortError'))
    return true
  }

  #lend(request: LeaseRequest): Lease<Slot> {
    const { slot, start } = this.#plan(request)
    if (start.type === 'fork') this.#touch(start.source)
    const startedMs = this.#clock.monotonicMs()
    return this.#leaseOf(slot, start, () => {
      this.#wantedAtMs = this.#clock.monotonicMs()
      const tookMs = this.#wantedAtMs - startedMs
      this.#serviceMs += newestWeight * (tookMs - this.#serviceMs)
      this.#touch(slot)
    })
  }

  #lendToYielder(request: LeaseRequest, untilMs: number): Lease<Slot> {
    const { slot, start } = this.#plan(request)
    const yielder = { untilMs, wanted: new AbortController() }
    this.#yielder = yielder
    const lease = this.#leaseOf(slot, start, () => {
      this.#yielder = undefined
    })
    return { ...lease, wanted: yielder.wanted.signal }
  }

  #plan(request: LeaseRequest): Pick<Lease<Slot>, 'slot' | 'start'> {
    const isIdle = (slot: Slot): boolean => !this.#lent.has(slot)
    // Lent ones can be copied from.
    const slots = [...this.#order.filter(isIdle), ...this.#order.filter(slot => !isIdle(slot))]
    const candidates = slots.map(slot => ({ resident: slot.resident, isIdle: isIdle(slot) }))
    const { slot, start } = planLease(request, candidates, this.#options)
    if (start.type !== 'fork') return { slot: slotAt(slots, slot), start }
    const source = slotAt(slots, start.source)
    return { slot: slotAt(slots, slot), start: { type: 'fork', source } }
  }

  #leaseOf(slot: Slot, start: LeaseStart<Slot>, onRelease: () => void): Lease<Slot> {
    this.#lent.add(slot)
    let isLent = true
    const release = (): void => {
      assert(isLent, 'A sequence is given back once')
      isLent = false
      if (this.#closed !== undefined) return
      this.#lent.delete(slot)
      onRelease()
      this.#serve()
      for (const pool of this.#machine) pool.#awaitQuiet()
    }
    return { slot, start, release }
  }

  /** It was of use just now. */
  #touch(slot: Slot): void {
    this.#order = [...this.#order.filter(other => other !== slot), slot]
  }

  #busy(): OperationError {
    const roundsAhead = (this.#waiting.length + 1) / this.slots.length
    return new OperationError(
      'engine_busy',
      `The engine runs ${this.slots.length} requests, and ${this.#waiting.length} wait already`,
      {
        origin: 'engine',
        retryable: true,
        retryAfterMs: Math.ceil(roundsAhead * this.#serviceMs),
      },
    )
  }
}

function remove<Item>(items: Item[], item: Item): void {
  const index = items.indexOf(item)
  if (index !== -1) items.splice(index, 1)
}

function slotAt<Slot>(slots: readonly Slot[], index: number): Slot {
  const slot = slots[index]
  assert(slot !== undefined, 'The plan names a slot')
  return slot
}
