import type { Directory } from '../../interface/directory.ts'
import type { PeerLookupOutcome } from '../../interface/metrics.ts'
import type { PeerId } from '../../interface/network.ts'
import { lookupKey, type ResponseKey } from '../../key/response-key.ts'
import {
  askEverybodyMax,
  negativeKeysMax,
  negativeMs,
  peerAnswerTimeoutMs,
  peerSearchMsMax,
  providersAskedMax,
} from '../../limits.ts'
import { Lru } from '../../std/lru.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import { findHolders } from './find-holders.ts'
import { firstDefined } from './first-defined.ts'
import { firstInTurn } from './in-turn.ts'
import { keysOf, type Wanted } from './records/check-record.ts'
import {
  type PeerAnswer,
  RecordReader,
  type RecordReaderComponents,
  type RecordReaderOptions,
  type Search,
} from './records/record-reader.ts'

export interface PeerAnswersComponents extends RecordReaderComponents {
  readonly directory: Directory
}

export interface PeerFindOptions extends AbortOptions {
  /** Longest time that it may take. @default peerSearchMsMax */
  readonly deadlineMs?: number
  readonly onInFlight?: (leftMs: number) => void
}

/** Head starts outside these bounds help nobody: a LAN answers at once, slow paths cost latency. */
const headStartMsMin = 20
const headStartMsMax = 250
/** Until a round trip has been measured. */
const headStartMsDefault = 50

/**
 * Looks for answers on peers (DESIGN §3.4). In a small swarm everybody is asked at once; in a
 * larger one the directory names the holders, who are asked best first. Whatever a peer sends is
 * checked before it is used, and a wrong record costs its sender reputation.
 */
export class PeerAnswers {
  readonly #parts: PeerAnswersComponents
  readonly #options: RecordReaderOptions
  readonly #reader: RecordReader
  /** Until when (monotonic ms) nobody is believed to have an answer. */
  readonly #negative = new Lru<string, number>(negativeKeysMax)

  constructor(components: PeerAnswersComponents, options: RecordReaderOptions) {
    this.#parts = components
    this.#options = options
    this.#reader = new RecordReader(components, options)
  }

  /**
   * How long a look-up may take alone before the engine starts beside it: two round trips, one more
   * than it should take, and three where the directory comes first; 0 where there is nobody to ask.
   */
  headStartMs(): number {
    const { network, reputation } = this.#parts
    const peers = network.peers().filter(({ id }) => !reputation.isQuarantined(id))
    const measured = peers.map(peer => peer.roundTripMs).filter(ms => ms !== undefined)
    if (peers.length === 0) return 0
    if (measured.length === 0) return headStartMsDefault
    const median = measured.sort((a, b) => a - b)[Math.floor(measured.length / 2)] ?? 0
    const roundTrips = peers.length <= askEverybodyMax ? 2 : 3
    return Math.min(headStartMsMax, Math.max(headStartMsMin, roundTrips * median))
  }

  /** The answer, from whoever has it; undefined when nobody does. @throws the signal's reason */
  async find(wanted: Wanted, options: PeerFindOptions): Promise<PeerAnswer | undefined> {
    const { clock, metrics } = this.#parts
    const startMs = clock.monotonicMs()
    const finished = (outcome: PeerLookupOutcome): void =>
      metrics.peerLookupFinished(outcome, (clock.monotonicMs() - startMs) / 1_000)
    options.signal.throwIfAborted()
    const peers = this.#parts.network.peers().map(({ id }) => id)
    if (peers.length === 0 || this.#isKnownMissing(wanted)) {
      finished('skipped')
      return undefined
    }
    const found = await this.#search(wanted, peers, options)
    finished(options.signal.aborted ? 'overtaken' : found === undefined ? 'miss' : 'hit')
    options.signal.throwIfAborted()
    return found
  }

  /** This node has the answer itself now, and so have peers soon. */
  forget({ key, maxTokens }: Pick<Wanted, 'key' | 'maxTokens'>): void {
    this.#negative.delete(negativeId({ key, maxTokens }))
  }

  async #search(
    wanted: Wanted,
    peers: readonly PeerId[],
    { signal, deadlineMs = peerSearchMsMax, onInFlight = () => undefined }: PeerFindOptions,
  ): Promise<PeerAnswer | undefined> {
    const { clock } = this.#parts
    const ended = new AbortController()
    const parents = [signal, this.#options.signal, ended.signal]
    const linked = linkSignal(clock, parents, deadlineMs)
    let isKnown = false
    const onUnfit = (): void => {
      isKnown = true
    }
    const search: Search = {
      wanted,
      onInFlight,
      onUnfit,
      signal: linked.signal,
      inLane: createLane(),
    }
    try {
      const found = await firstDefined(this.#searches(peers, search), linked.signal)
      const isMissing = found === undefined && !isKnown && !linked.signal.aborted
      if (isMissing) this.#negative.set(negativeId(wanted), clock.monotonicMs() + negativeMs, 1)
      return linked.signal.aborted ? undefined : found
    } finally {
      // Whatever the others are still sending is of no use any more.
      ended.abort(new DOMException('The look-up has ended', 'AbortError'))
      linked[Symbol.dispose]()
    }
  }

  /** Everybody, where they are few; who holds it, where they are many or not all connected. */
  #searches(peers: readonly PeerId[], search: Search): readonly Promise<PeerAnswer | undefined>[] {
    const areFew = peers.length <= askEverybodyMax
    const everybody = areFew ? [this.#askEverybody(this.#ranked(peers), search)] : []
    const asksHolders = !areFew || this.#parts.directory.stats().isRegional
    return asksHolders ? [...everybody, this.#askHolders(search)] : everybody
  }

  async #askEverybody(peers: readonly PeerId[], search: Search): Promise<PeerAnswer | undefined> {
    const reads = peers.flatMap(peer =>
      keysOf(search.wanted).map(key => this.#reader.read(peer, key, search)),
    )
    return await firstDefined(reads, search.signal)
  }

  async #askHolders(search: Search): Promise<PeerAnswer | undefined> {
    const searches = keysOf(search.wanted).map(key => this.#askHoldersOf(key, search))
    return await firstDefined(searches, search.signal)
  }

  async #askHoldersOf(key: ResponseKey, search: Search): Promise<PeerAnswer | undefined> {
    const { clock, directory, log } = this.#parts
    const { signal } = search
    const holders = findHolders(directory, lookupKey(key), {
      rank: peers => this.#ranked(peers),
      holdersMax: providersAskedMax,
      signal,
      deadlineMs: peerAnswerTimeoutMs,
    })
    const options = { clock, signal, patienceMs: this.headStartMs() }
    try {
      return await firstInTurn(holders, peer => this.#reader.read(peer, key, search), options)
    } catch (error) {
      if (!signal.aborted) log.warn('directory look-up failed', { error })
      return undefined
    }
  }

  /** Best first: by round trip, later for whom went wrong before; nobody in quarantine. */
  #ranked(peers: readonly PeerId[]): readonly PeerId[] {
    const { network, reputation } = this.#parts
    const roundTrips = new Map(network.peers().map(({ id, roundTripMs }) => [id, roundTripMs]))
    return reputation.rank(peers, peer => roundTrips.get(peer))
  }

  #isKnownMissing(wanted: Wanted): boolean {
    const until = this.#negative.get(negativeId(wanted))
    return until !== undefined && until > this.#parts.clock.monotonicMs()
  }
}

function negativeId({ key, maxTokens }: Pick<Wanted, 'key' | 'maxTokens'>): string {
  return `${key}/${maxTokens ?? ''}`
}

/** One transfer at a time: eight peers that all send 16 MiB would only slow each other down. */
function createLane(): Search['inLane'] {
  let last: Promise<unknown> = Promise.resolve()
  return transfer => {
    const run = last.then(transfer)
    last = run.catch(() => undefined)
    return run
  }
}
