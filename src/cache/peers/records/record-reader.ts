import { OperationError } from '../../../errors.ts'
import type { Log } from '../../../interface/log.ts'
import type { Metrics } from '../../../interface/metrics.ts'
import type { Network, PeerId, ProtocolName } from '../../../interface/network.ts'
import { lookupKey, type ResponseKey } from '../../../key/response-key.ts'
import { peerAnswerTimeoutMs, peerSearchMsMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { isAbort } from '../../../std/signal.ts'
import type { IssuerKeys } from '../../../trust/issuer-keys.ts'
import type { PeerEvent, Reputation } from '../../../trust/reputation.ts'
import { encodeKeys } from '../../../wire/record-messages.ts'
import { type CheckedRecord, checkRecord, keysOf, type Wanted } from './check-record.ts'
import { flightProtocol, recordStreamProtocol } from './protocols.ts'
import { RecordAsker } from './record-asker.ts'
import { takeStream } from './take-stream.ts'

export interface RecordReaderComponents {
  readonly network: Network
  readonly reputation: Reputation
  readonly issuerKeys: IssuerKeys
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Counts what was got from whom. */
  readonly onReceived: (peer: PeerId, bytes: number) => void
}

export interface RecordReaderOptions {
  /** Ends what is under way when the node stops. */
  readonly signal: AbortSignal
  /** Whether answers of upstreams are taken on their issuer's word. */
  readonly acceptUpstream: boolean
}

/** One look-up, whoever is asked for it. */
export interface Search {
  readonly wanted: Wanted
  /** Told when a peer is computing the answer, with about how long it will take still. */
  readonly onInFlight: (leftMs: number) => void
  /** Told when a peer has an answer that does not serve this asker. */
  readonly onUnfit: () => void
  /** Fires when the look-up has ended, whatever its outcome. */
  readonly signal: AbortSignal
  /** Runs large transfers of this look-up one after the other. */
  readonly inLane: <Value>(transfer: () => Promise<Value>) => Promise<Value>
}

/** An answer that a peer had, checked. */
export interface PeerAnswer {
  readonly record: CheckedRecord
  readonly peer: PeerId
}

/** What a promise of "soon" is worth at least: the time left is the issuer's guess. */
const soonMs = 1_000

/** How long an answer that is promised in so many milliseconds is worth waiting for. */
export function patienceMs(leftMs: number): number {
  return Math.max(soonMs, 1.5 * leftMs)
}

/**
 * Reads records from peers, checks them, and remembers what each peer gave: wrong records and
 * broken promises cost reputation.
 */
export class RecordReader {
  readonly #parts: RecordReaderComponents
  readonly #options: RecordReaderOptions
  readonly #asker: RecordAsker

  constructor(components: RecordReaderComponents, options: RecordReaderOptions) {
    this.#parts = components
    this.#options = options
    this.#asker = new RecordAsker(
      {
        network: components.network,
        onFailure: (peer, error) => this.#noteFailure(peer, error),
      },
      options,
    )
  }

  /** What one peer has under one of the wanted keys. Its failures are its own: never rejects. */
  async read(peer: PeerId, key: ResponseKey, search: Search): Promise<PeerAnswer | undefined> {
    const { signal } = search
    try {
      const answer = await this.#asker.ask(peer, lookupKey(key))
      if (signal.aborted || answer === undefined || answer.type === 'none') return undefined
      if (answer.type === 'record') return this.#check(peer, answer.bytes, search, [key])
      const sealed =
        answer.type === 'large'
          ? await search.inLane(() => this.#take(peer, key, search))
          : await this.#await(peer, key, { search, leftMs: answer.leftMs })
      if (signal.aborted) return undefined
      if (sealed !== undefined) {
        // A flight may end with a complete answer or with one that is cut.
        const keys = answer.type === 'large' ? [key] : keysOf(search.wanted)
        return this.#check(peer, sealed, search, keys)
      }
      this.#note(peer, 'refused')
    } catch (error) {
      if (!signal.aborted) this.#noteFailure(peer, error)
    }
    return undefined
  }

  async #take(peer: PeerId, key: ResponseKey, search: Search): Promise<Uint8Array | undefined> {
    search.signal.throwIfAborted()
    const open = this.#streamOf(peer, recordStreamProtocol, key)
    const { clock } = this.#parts
    return await takeStream(open, { clock, firstMs: peerAnswerTimeoutMs, signal: search.signal })
  }

  /** Waits for what the peer is computing, for somewhat longer than it promised. */
  async #await(
    peer: PeerId,
    key: ResponseKey,
    { search, leftMs }: { readonly search: Search; readonly leftMs: number },
  ): Promise<Uint8Array | undefined> {
    const { clock } = this.#parts
    const { signal } = search
    const startMs = clock.monotonicMs()
    search.onInFlight(leftMs)
    const open = this.#streamOf(peer, flightProtocol, key)
    try {
      const firstMs = Math.min(patienceMs(leftMs) + peerAnswerTimeoutMs, peerSearchMsMax)
      return await takeStream(open, { clock, firstMs, signal })
    } catch (error) {
      // Overtaken after its own time: whoever says so of everything would delay everything.
      const isBroken = clock.monotonicMs() - startMs >= Math.max(leftMs, soonMs)
      if (isBroken && signal.aborted && !this.#options.signal.aborted) this.#note(peer, 'refused')
      throw error
    }
  }

  #streamOf(
    peer: PeerId,
    protocol: ProtocolName,
    key: ResponseKey,
  ): (signal: AbortSignal) => AsyncIterable<Uint8Array> {
    const body = encodeKeys([lookupKey(key)])
    return signal => this.#parts.network.openStream(peer, protocol, body, { signal })
  }

  #check(
    peer: PeerId,
    sealed: Uint8Array,
    { wanted, onUnfit }: Search,
    keys: readonly ResponseKey[],
  ): PeerAnswer | undefined {
    const { clock, issuerKeys, metrics, onReceived } = this.#parts
    const { acceptUpstream } = this.#options
    const expected = { wanted, keys, now: clock.now(), acceptUpstream }
    const check = checkRecord(sealed, expected, issuerKeys)
    metrics.peerRecordChecked(check.result)
    if (check.outcome === 'unfit') {
      onUnfit()
      return undefined
    }
    if (check.outcome === 'bad') {
      this.#parts.log.info('peer sent a wrong record', { peer, result: check.result })
      this.#note(peer, check.event)
      return undefined
    }
    this.#note(peer, 'good-answer')
    onReceived(peer, sealed.length)
    return { record: check.record, peer }
  }

  #noteFailure(peer: PeerId, error: unknown): void {
    const event = eventOf(error)
    const isOurs = event === undefined
    this.#note(peer, event ?? 'failed')
    if (error instanceof OperationError) this.#parts.metrics.operationFailed(error.code)
    if (isOurs) this.#parts.log.warn('look-up on a peer failed', { peer, error })
    else this.#parts.log.debug('peer gave no answer', { peer, event, error })
  }

  #note(peer: PeerId, event: PeerEvent): void {
    this.#parts.reputation.note(peer, event)
  }
}

/** Undefined for what no peer can cause. */
function eventOf(error: unknown): PeerEvent | undefined {
  if (isAbort(error)) return 'timeout'
  if (!(error instanceof OperationError)) return undefined
  if (error.code === 'peer_message_invalid') return 'invalid-message'
  if (error.code === 'peer_overloaded') return 'refused'
  return error.code === 'peer_timeout' ? 'timeout' : 'failed'
}
