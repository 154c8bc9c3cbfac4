import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { type BlockMetrics, type Metrics, sparedNone } from '../interface/metrics.ts'
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
  /** Blocks of KV state by where they are; undefined where none are kept. */
  blocks(): BlockGauges | undefined
}

/** Blocks and bytes of KV state: in this node's tiers, and shards that it holds for peers. */
export interface BlockGauges {
  readonly tiers: readonly {
    readonly tier: 'memory' | 'disk' | 'shards'
    readonly blocks: number
    readonly bytes: number
  }[]
  /** Of this node's blocks, those that peers hold shards of. */
  readonly placed: number
  readonly auditsWaiting: number
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
export class PrometheusMetrics implements Metrics, BlockMetrics {
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
  readonly #prefillTokens = this.#tally(
    'prefill_tokens_total',
    'Prompt tokens of all answers, by what was done about each: they add up to input_tokens_total',
    ['source'],
  )
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

  readonly #ttftPredicted = this.#durations(
    'time_to_first_token_predicted_seconds',
    'What the plan of a prompt said of its time to the first token',
    tokenSeconds,
  )
  readonly #ttftError = this.#durations(
    'time_to_first_token_error_seconds',
    'How far the time to the first token was from what the plan had said',
    tokenSeconds,
  )
  readonly #blockEvents = this.#tally('kv_blocks_total', 'What happened to blocks of KV state', [
    'event',
  ])
  readonly #placements = this.#tally(
    'kv_placements_total',
    'Blocks that were to be placed on peers, by what came of it',
    ['outcome'],
  )
  readonly #shards = this.#tally('kv_shards_received_total', 'Shards asked of peers', ['result'])
  readonly #shardBytes = this.#tally(
    'kv_shards_received_bytes_total',
    'Bytes of shards taken from peers, used or not',
  )
  readonly #shardsServed = this.#tally('kv_shards_served_total', 'Shards given to peers')
  readonly #shardsServedBytes = this.#tally(
    'kv_shards_served_bytes_total',
    'Bytes of shards given to peers',
  )
  readonly #blocksShed = this.#tally(
    'kv_blocks_shed_total',
    'Blocks of KV state that were not kept, by reason',
    ['reason'],
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
    this.#blockGauges(() => gauges.blocks())
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
    this.#countPrefill(tokens)
    this.#outputTokens.add(tokens.output)
    this.#savedTokens.add(tokens.saved)
    this.#savedSeconds.add(savedSeconds)
  }

  ttftPredicted: Metrics['ttftPredicted'] = (predictedSeconds, actualSeconds) => {
    this.#ttftPredicted.observe(predictedSeconds)
    this.#ttftError.observe(Math.abs(actualSeconds - predictedSeconds))
  }

  blocksCounted: Metrics['blocksCounted'] = (event, count) => this.#blockEvents.add(count, event)
  blocksShed: Metrics['blocksShed'] = (reason, count) => this.#blocksShed.add(count, reason)

  blockPlacementFinished: BlockMetrics['blockPlacementFinished'] = outcome =>
    this.#placements.add(1, outcome)

  shardReceived: BlockMetrics['shardReceived'] = (result, bytes) => {
    this.#shards.add(1, result)
    this.#shardBytes.add(bytes)
  }

  shardServed: BlockMetrics['shardServed'] = bytes => {
    this.#shardsServed.add(1)
    this.#shardsServedBytes.add(bytes)
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

  /** Every prompt token under one source: none was computed where the answer was there. */
  #countPrefill({ input, spared }: Parameters<Metrics['answerServed']>[1]): void {
    if (spared === undefined) {
      this.#prefillTokens.add(input, 'answer')
      return
    }
    const { resident, memory, disk, peer } = { ...sparedNone, ...spared }
    const computed = input - resident - memory - disk - peer
    const bySource = { computed, resident, memory, disk, peer }
    for (const [source, count] of Object.entries(bySource)) this.#prefillTokens.add(count, source)
  }

  #blockGauges(read: () => BlockGauges | undefined): void {
    const perTier = (pick: 'blocks' | 'bytes') => (gauge: Gauge) => {
      for (const tier of read()?.tiers ?? []) gauge.set({ tier: tier.tier }, tier[pick])
    }
    this.#gauge('kv_blocks', 'Blocks of KV state, or shards of them', perTier('blocks'), ['tier'])
    this.#gauge('kv_bytes', 'Their bytes', perTier('bytes'), ['tier'])
    this.#gauge('kv_blocks_placed', 'Blocks of this node that peers hold shards of', gauge =>
      gauge.set(read()?.placed ?? 0),
    )
    this.#gauge('kv_audits_waiting', 'Runs of peers’ blocks that wait for an audit', gauge =>
      gauge.set(read()?.auditsWaiting ?? 0),
    )
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
