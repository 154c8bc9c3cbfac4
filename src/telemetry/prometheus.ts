import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Metrics } from '../interface/metrics.ts'
import type { StoreStats } from '../interface/store.ts'
import { Durations } from './durations.ts'
import { Tally } from './tally.ts'

/** What is read when somebody scrapes, rather than counted when it happens. */
export interface Gauges {
  store(): StoreStats
  requestsRunning(): number
  engine(): { readonly running: number; readonly waiting: number }
  /** Members connected now and keys offered to them. */
  swarm(): { readonly peers: number; readonly sharedKeys: number }
}

/** The sums that `hyperspace status` shows. */
export interface MetricTotals {
  readonly hits: number
  readonly misses: number
  readonly bypasses: number
  /** Of the misses, those that a peer had an answer for. */
  readonly peerHits: number
  readonly savedTokens: number
  readonly savedSeconds: number
}

/** Buckets of OpenTelemetry's GenAI conventions for times per token and to the first token. */
const tokenSeconds = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 10, 60,
]
const lookupSeconds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1]
const requestSeconds = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/**
 * The closed table of everything that is measured: names, help, units and labels live here and
 * nowhere else.
 */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry()
  readonly #histograms: Durations[] = []
  readonly #requests = this.#tally('requests_total', 'Requests answered', ['api', 'status'])
  readonly #requestSeconds = this.#durations(
    'request_duration_seconds',
    'Time to answer a request',
    requestSeconds,
    'api',
  )
  readonly #lookups = this.#tally('lookups_total', 'Look-ups in the response cache', ['outcome'])
  readonly #lookupSeconds = this.#durations(
    'lookup_duration_seconds',
    'Time of a look-up',
    lookupSeconds,
    'outcome',
  )
  readonly #answers = this.#tally('answers_total', 'Answers served, by where they came from', [
    'source',
  ])
  readonly #inputTokens = this.#tally('input_tokens_total', 'Prompt tokens of all answers')
  readonly #outputTokens = this.#tally('output_tokens_total', 'Tokens of all answers')
  readonly #savedTokens = this.#tally(
    'saved_tokens_total',
    'Tokens of prompts and answers that were not computed',
  )
  readonly #savedSeconds = this.#tally(
    'saved_seconds_total',
    'Seconds of computing that hits saved',
  )
  readonly #collapsed = this.#tally(
    'collapsed_total',
    'Requests that joined one already being answered',
  )
  readonly #firstToken = this.#durations(
    'time_to_first_token_seconds',
    'From the miss to the first token',
    tokenSeconds,
  )
  readonly #outputToken = this.#durations(
    'time_per_output_token_seconds',
    'Between two tokens',
    tokenSeconds,
  )
  readonly #stored = this.#tally('records_stored_total', 'Records written to the store')
  readonly #storedBytes = this.#tally(
    'records_stored_bytes_total',
    'Bytes of records written to the store',
  )
  readonly #shed = this.#tally('records_shed_total', 'Answers that were not kept, by reason', [
    'reason',
  ])
  readonly #failures = this.#tally('failures_total', 'Failed operations, by code', ['code'])

  readonly #peerLookups = this.#tally(
    'peer_lookups_total',
    'Look-ups on peers, after a miss here',
    ['outcome'],
  )
  readonly #peerLookupSeconds = this.#durations(
    'peer_lookup_duration_seconds',
    'Time of a look-up on peers',
    lookupSeconds,
    'outcome',
  )
  readonly #peerRecords = this.#tally(
    'peer_records_checked_total',
    'Records from peers, by what their check and that of their receipt said',
    ['result'],
  )
  readonly #peerReceived = this.#tally('peer_answers_received_total', 'Answers taken from peers')
  readonly #peerReceivedBytes = this.#tally(
    'peer_answers_received_bytes_total',
    'Bytes of sealed answers taken from peers',
  )
  readonly #peerServed = this.#tally('peer_answers_served_total', 'Answers given to peers')
  readonly #peerServedBytes = this.#tally(
    'peer_answers_served_bytes_total',
    'Bytes of sealed answers given to peers',
  )

  constructor(gauges: Gauges) {
    collectDefaultMetrics({ register: this.#registry })
    this.#gauge('requests_running', 'Requests being answered', gauge =>
      gauge.set(gauges.requestsRunning()),
    )
    this.#gauge('engine_running', 'Generations running', gauge =>
      gauge.set(gauges.engine().running),
    )
    this.#gauge('engine_waiting', 'Generations waiting', gauge =>
      gauge.set(gauges.engine().waiting),
    )
    this.#gauge('peers', 'Members of the swarm that are connected', gauge =>
      gauge.set(gauges.swarm().peers),
    )
    this.#gauge('shared_keys', 'Answers and leaves offered to the swarm', gauge =>
      gauge.set(gauges.swarm().sharedKeys),
    )
    const perTier = (read: (tier: StoreStats['tiers'][number]) => number) => (gauge: Gauge) => {
      for (const tier of gauges.store().tiers) gauge.set({ tier: tier.tier }, read(tier))
    }
    this.#gauge(
      'store_bytes',
      'Bytes of stored records',
      perTier(tier => tier.bytes),
      ['tier'],
    )
    this.#gauge(
      'store_records',
      'Stored records',
      perTier(tier => tier.records),
      ['tier'],
    )
    this.#gauge(
      'store_evictions',
      'Records evicted since the start',
      perTier(tier => tier.evictions),
      ['tier'],
    )
  }

  get totals(): MetricTotals {
    return {
      hits: this.#lookups.sum('hit'),
      misses: this.#lookups.sum('miss'),
      bypasses: this.#lookups.sum('bypass'),
      peerHits: this.#peerLookups.sum('hit'),
      savedTokens: this.#savedTokens.sum(),
      savedSeconds: this.#savedSeconds.sum(),
    }
  }

  /** Everything in Prometheus' text format. */
  async text(): Promise<string> {
    const histograms = this.#histograms.map(durations => durations.text())
    return [await this.#registry.metrics(), ...histograms].join('\n')
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  requestFinished: Metrics['requestFinished'] = (api, status, seconds) => {
    this.#requests.add(1, `${api} ${status}`)
    this.#requestSeconds.observe(seconds, api)
  }

  lookupFinished: Metrics['lookupFinished'] = (outcome, seconds) => {
    this.#lookups.add(1, outcome)
    this.#lookupSeconds.observe(seconds, outcome)
  }

  answerServed: Metrics['answerServed'] = (source, tokens, savedSeconds) => {
    this.#answers.add(1, source)
    this.#inputTokens.add(tokens.input)
    this.#outputTokens.add(tokens.output)
    this.#savedTokens.add(tokens.saved)
    this.#savedSeconds.add(savedSeconds)
  }

  flightJoined: Metrics['flightJoined'] = () => this.#collapsed.add(1)
  firstToken: Metrics['firstToken'] = seconds => this.#firstToken.observe(seconds)
  outputToken: Metrics['outputToken'] = seconds => this.#outputToken.observe(seconds)

  recordStored: Metrics['recordStored'] = bytes => {
    this.#stored.add(1)
    this.#storedBytes.add(bytes)
  }

  recordShed: Metrics['recordShed'] = reason => this.#shed.add(1, reason)
  operationFailed: Metrics['operationFailed'] = code => this.#failures.add(1, code)

  peerLookupFinished: Metrics['peerLookupFinished'] = (outcome, seconds) => {
    this.#peerLookups.add(1, outcome)
    this.#peerLookupSeconds.observe(seconds, outcome)
  }

  peerRecordChecked: Metrics['peerRecordChecked'] = result => this.#peerRecords.add(1, result)

  peerAnswerReceived: Metrics['peerAnswerReceived'] = bytes => {
    this.#peerReceived.add(1)
    this.#peerReceivedBytes.add(bytes)
  }

  peerAnswerServed: Metrics['peerAnswerServed'] = bytes => {
    this.#peerServed.add(1)
    this.#peerServedBytes.add(bytes)
  }

  #tally(name: string, help: string, labelNames: readonly string[] = []): Tally {
    return new Tally({ name, help, labelNames, registry: this.#registry })
  }

  #durations(name: string, help: string, bounds: readonly number[], label?: string): Durations {
    const durations = new Durations({
      name: `hyperspace_${name}`,
      help,
      bounds,
      ...(label === undefined ? {} : { label }),
    })
    this.#histograms.push(durations)
    return durations
  }

  #gauge(
    name: string,
    help: string,
    read: (gauge: Gauge) => void,
    labelNames: string[] = [],
  ): void {
    const registers = [this.#registry]
    new Gauge({
      name: `hyperspace_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        read(this)
      },
    })
  }
}
