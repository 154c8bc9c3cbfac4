import type { FindOptions } from '../../interface/directory.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryNegativesMax, directoryProvidersCalledMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import { Arrivals } from './arrivals.ts'
import { type AskPeer, LookupBatches } from './lookup-batches.ts'

/** Whom to ask for one key. */
export interface AskPlan {
  /** Best first. */
  readonly peers: readonly PeerId[]
  /** How many are asked; each one that does not answer is replaced by the next. */
  readonly count: number
  /** How long each of them may take. */
  readonly timeoutMs: number
}

export interface LookupsComponents {
  readonly self: PeerId
  readonly clock: Clock
  /** What this node knows itself, as an owner. */
  readonly providersHere: (key: LookupKey) => readonly PeerId[]
  readonly planFor: (key: LookupKey, options: FindOptions) => Promise<AskPlan>
  readonly askPeer: AskPeer
  /** Whether a provider is worth naming: it is connected now, or need not be. */
  readonly isNear: (peer: PeerId) => boolean
  /** Connects with one that is not. */
  readonly reach: (peer: PeerId) => Promise<boolean>
}

export interface LookupsOptions extends AbortOptions {
  /** How long a key that nobody knew is taken for unknown. */
  readonly negativeMs: number
}

/** What comes in during one look-up. */
type Arrival =
  | { readonly type: 'answered'; readonly providers: readonly PeerId[] | undefined }
  | { readonly type: 'called'; readonly peer: PeerId; readonly isReached: boolean }

interface Found {
  readonly seen: Set<PeerId>
  readonly arrivals: Arrivals<Arrival>
  calledCount: number
}

const nobody: AskPlan = { peers: [], count: 0, timeoutMs: 0 }

/** Finds providers: here, and at the owners. */
export class Lookups {
  readonly #parts: LookupsComponents
  readonly #options: LookupsOptions
  readonly #batches: LookupBatches
  /** Keys that nobody knew, and until when that is believed. */
  readonly #unknown = new Lru<LookupKey, number>(directoryNegativesMax)

  constructor(components: LookupsComponents, options: LookupsOptions) {
    this.#parts = components
    this.#options = options
    this.#batches = new LookupBatches(components.askPeer)
  }

  /** See `Directory.find`. */
  async *find(key: LookupKey, { signal, deadlineMs }: FindOptions): AsyncGenerator<PeerId> {
    const { self, clock, planFor, providersHere } = this.#parts
    signal.throwIfAborted()
    const found: Found = { seen: new Set([self]), arrivals: new Arrivals(), calledCount: 0 }
    const linked = linkSignal(clock, [signal, this.#options.signal], deadlineMs)
    try {
      yield* this.#fresh(providersHere(key), found)
      const isUnknown = this.#isUnknown(key)
      const options = { signal: linked.signal, deadlineMs }
      const plan = isUnknown ? nobody : await planFor(key, options)
      this.#ask(key, plan, { found, signal: linked.signal })
      let answeredCount = 0
      for await (const arrival of found.arrivals.until(linked.signal)) {
        if (arrival.type === 'called') {
          if (arrival.isReached) yield arrival.peer
        } else if (arrival.providers !== undefined) {
          answeredCount += 1
          yield* this.#fresh(arrival.providers, found)
        }
      }
      signal.throwIfAborted()
      if (found.seen.size > 1 || answeredCount === 0 || answeredCount < plan.count) return
      this.#unknown.set(key, clock.monotonicMs() + this.#options.negativeMs, 1)
    } finally {
      linked[Symbol.dispose]()
    }
  }

  /** One promise for each that is to be asked; each goes on to the next peer until one answers. */
  #ask(
    key: LookupKey,
    { peers, count, timeoutMs }: AskPlan,
    { found, signal }: { readonly found: Found; readonly signal: AbortSignal },
  ): void {
    const next = peers.values()
    const askUntilAnswered = async (): Promise<Arrival> => {
      // An array's iterator goes on after a loop over it was left.
      for (const peer of next) {
        const providers = await this.#batches.ask(peer, key, timeoutMs)
        if (providers !== undefined || signal.aborted) return { type: 'answered', providers }
      }
      return { type: 'answered', providers: undefined }
    }
    for (let asked = 0; asked < Math.min(count, peers.length); asked++) {
      found.arrivals.add(askUntilAnswered())
    }
  }

  #isUnknown(key: LookupKey): boolean {
    const untilMs = this.#unknown.get(key)
    return untilMs !== undefined && this.#parts.clock.monotonicMs() < untilMs
  }

  /** Those that are new, and remembers them. Who has to be called first arrives later. */
  *#fresh(peers: readonly PeerId[], found: Found): Generator<PeerId> {
    const { isNear, reach } = this.#parts
    for (const peer of peers) {
      if (found.seen.has(peer)) continue
      found.seen.add(peer)
      if (isNear(peer)) yield peer
      else if (found.calledCount < directoryProvidersCalledMax) {
        found.calledCount += 1
        const call = reach(peer)
        found.arrivals.add(call.then(isReached => ({ type: 'called', peer, isReached })))
      }
    }
  }
}
