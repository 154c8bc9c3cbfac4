import { OperationError } from '../errors.ts'
import type { GenerationEvent } from '../interface/generation.ts'
import type { ResponseKey } from '../key/response-key.ts'
import { answerBytesMax, flightEventsMax, flightFollowersMax, flightsMax } from '../limits.ts'
import type { TaskScope } from '../std/task-scope.ts'
import type { PrefixReport } from './prefix/prefix-report.ts'
import type { Entry } from './response-cache.ts'

/**
 * One caller's place in a flight. Iterate it, or `leave` it: a flight that nobody follows is
 * aborted.
 */
export interface Follower {
  /** Seconds since 1970 at which the flight began: the answer's `created`, live and replayed. */
  readonly created: number
  /**
   * All events from the first, those that were there before included. Throws what the engine threw.
   */
  readonly events: AsyncGenerator<GenerationEvent, undefined, void>
  /**
   * Known from the first event on: the entry that a peer had, when it was faster than the engine.
   */
  origin(): FlightOrigin | undefined
  /** Known from the first event on: what of the prompt the engine did not have to compute. */
  prefix(): PrefixReport | undefined
  /**
   * True for the first follower that asks: the one whose reply stands for what was computed, so
   * that no token is counted twice.
   */
  claim(): boolean
  leave(): void
}

/** An answer that was found on a peer while (or before) the engine began. */
export interface FlightOrigin {
  readonly key: ResponseKey
  readonly entry: Entry
}

export interface FlightPlan {
  /** Seconds since 1970. */
  readonly created: number
  /** Makes the events. Aborted when the last follower has left or the node stops. */
  readonly run: (
    signal: AbortSignal,
    tell: (origin: FlightOrigin) => void,
  ) => AsyncIterable<GenerationEvent>
  readonly onEvent: (event: GenerationEvent) => void
  /** After the last event, when nothing failed. */
  readonly onComplete: () => void
  /** When it failed or was abandoned. */
  readonly onFailed?: () => void
  /** As `Follower.prefix`. */
  readonly prefix?: () => PrefixReport | undefined
}

/**
 * Single flight with live attach: one generation per key at a time. The generation belongs to the
 * node's task scope, not to whoever asked first, so a first client that goes away takes nobody
 * along.
 */
export class Flights {
  readonly #scope: TaskScope
  readonly #flights = new Map<string | symbol, Flight>()

  constructor(scope: TaskScope) {
    this.#scope = scope
  }

  get runningCount(): number {
    return this.#flights.size
  }

  /** Attaches to a running flight, if there is one that can take another follower. */
  join(id: string): Follower | undefined {
    return this.#flights.get(id)?.follow()
  }

  /**
   * Starts a flight that others can join by `id`.
   * @throws engine_busy when too many are running
   */
  start(id: string, plan: FlightPlan): Follower {
    return this.#launch(id, plan)
  }

  /** Starts a flight that nobody can join: what is not to be stored is not to be shared either. */
  startAlone(plan: FlightPlan): Follower {
    return this.#launch(Symbol('alone'), plan)
  }

  #launch(id: string | symbol, plan: FlightPlan): Follower {
    if (this.#flights.size >= flightsMax) {
      throw new OperationError(
        'engine_busy',
        `Cannot start: ${flightsMax} answers are being made`,
        {
          origin: 'self',
          retryable: true,
          retryAfterMs: 1_000,
        },
      )
    }
    const flight = new Flight(plan)
    const follower = flight.follow()
    if (follower === undefined) throw new RangeError('A new flight takes a follower')
    this.#flights.set(id, flight)
    const forget = (): void => {
      if (this.#flights.get(id) === flight) this.#flights.delete(id)
    }
    this.#scope.spawn('generate', async signal => {
      try {
        await flight.fly(signal, forget)
      } finally {
        forget()
      }
    })
    return follower
  }
}

/** A follower's, as the flight sees it. */
interface Seat {
  /** Tells the follower, should it be waiting, that there is news. */
  wake: () => void
}

class Flight {
  readonly #plan: FlightPlan
  readonly #events: GenerationEvent[] = []
  readonly #abandoned = new AbortController()
  readonly #seats = new Set<Seat>()
  #origin: FlightOrigin | undefined
  #textUnits = 0
  #state: 'flying' | 'landed' | 'failed' = 'flying'
  #failure: unknown
  #isClaimed = false

  constructor(plan: FlightPlan) {
    this.#plan = plan
  }

  follow(): Follower | undefined {
    if (this.#abandoned.signal.aborted || this.#seats.size >= flightFollowersMax) return undefined
    const seat: Seat = { wake: () => undefined }
    this.#seats.add(seat)
    const leave = (): void => {
      if (!this.#seats.delete(seat)) return
      seat.wake()
      // An answer that a peer had is complete: nothing is saved by ending it.
      if (this.#seats.size === 0 && this.#state === 'flying' && this.#origin === undefined) {
        this.#abandoned.abort(new DOMException('Every client has gone', 'AbortError'))
      }
    }
    return {
      created: this.#plan.created,
      events: this.#read(seat, leave),
      origin: () => this.#origin,
      prefix: () => this.#plan.prefix?.(),
      claim: () => this.#claim(),
      leave,
    }
  }

  #claim(): boolean {
    const isFirst = !this.#isClaimed
    this.#isClaimed = true
    return isFirst
  }

  /**
   * Lands at the last event of the answer; the engine may still have something to do behind it, for
   * which no client waits. @throws only what fails there
   */
  async fly(stop: AbortSignal, onLanded: () => void): Promise<void> {
    const plan = this.#plan
    const onStop = (): void => this.#abandoned.abort(stop.reason)
    stop.addEventListener('abort', onStop, { once: true })
    try {
      const tell = (origin: FlightOrigin): void => {
        this.#origin = origin
      }
      for await (const event of plan.run(this.#abandoned.signal, tell)) {
        this.#add(event)
        plan.onEvent(event)
        if (event.type === 'usage') this.#land(onLanded)
      }
      if (this.#state === 'flying') this.#land(onLanded)
    } catch (error) {
      if (this.#state === 'landed') throw error
      this.#state = 'failed'
      this.#failure = error
      plan.onFailed?.()
    } finally {
      stop.removeEventListener('abort', onStop)
      this.#wakeAll()
    }
  }

  #land(onLanded: () => void): void {
    this.#abandoned.signal.throwIfAborted()
    // Filled before it lands: whoever sees the end of a stream and asks again finds the entry.
    this.#plan.onComplete()
    this.#state = 'landed'
    onLanded()
    this.#wakeAll()
  }

  #add(event: GenerationEvent): void {
    if (event.type === 'text' || event.type === 'tool-arguments') {
      this.#textUnits += event.text.length
    }
    if (this.#events.length >= flightEventsMax || this.#textUnits > answerBytesMax) {
      throw new OperationError('engine_failed', 'The answer is longer than any answer may be', {
        origin: 'engine',
      })
    }
    this.#events.push(event)
    this.#wakeAll()
  }

  async *#read(seat: Seat, leave: () => void): AsyncGenerator<GenerationEvent, undefined, void> {
    try {
      for (let next = 0; ; ) {
        if (!this.#seats.has(seat)) throw new DOMException('The client has gone', 'AbortError')
        const event = this.#events[next]
        if (event !== undefined) {
          next += 1
          yield event
        } else if (this.#state === 'landed') return undefined
        else if (this.#state === 'failed') throw this.#failure
        else await this.#news(seat)
      }
    } finally {
      leave()
    }
  }

  #news(seat: Seat): Promise<void> {
    return new Promise(resolve => {
      seat.wake = resolve
    })
  }

  #wakeAll(): void {
    for (const seat of this.#seats) seat.wake()
  }
}
