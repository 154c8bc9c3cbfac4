import type { Completion } from '../interface/generation.ts'
import type { Log } from '../interface/log.ts'
import type { Metrics } from '../interface/metrics.ts'
import type { NewRecord, RecordMeta, Store, Tier } from '../interface/store.ts'
import { type LookupKey, limitedKey, lookupKey, type ResponseKey } from '../key/response-key.ts'
import type { SwarmTag } from '../key/scope.ts'
import { answerBytesMax, fillQueueMax, openedBytesMax } from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import { Lru } from '../std/lru.ts'
import type { Random } from '../std/random.ts'
import { isAbort } from '../std/signal.ts'
import type { TaskScope } from '../std/task-scope.ts'
import { decodeResponseRecord, encodeResponseRecord } from '../wire/response-record.ts'
import { openRecord, sealRecord } from '../wire/sealed-record.ts'
import { completionOf, recordOf } from './record-of.ts'

/** A stored answer, opened. */
export interface Entry {
  readonly lookupKey: LookupKey
  readonly completion: Completion
  /** The token limit it was generated under. */
  readonly maxTokens: number | undefined
  /** What it took to make. */
  readonly costSeconds: number
  /** Milliseconds since 1970. */
  readonly storedAt: number
  readonly expiresAt: number
  /** The issuer's signed statement about it (spec/receipts.md); absent in the local scope. */
  readonly receipt?: Uint8Array
  /** Ready-made replies by wire variant: a hot answer is encoded once. */
  readonly replies: Map<string, ReadyReply>
}

/** A reply from an entry in one form of one client API, encoded. */
export interface ReadyReply {
  /** Headers that are the same each time, names and values in turn. */
  readonly head: readonly string[]
  /**
   * The bytes, one per UTF-16 unit: node:http joins such a text with the head into one buffer,
   * which costs less than writing two.
   */
  readonly body: string
}

export type Lookup =
  | {
      readonly outcome: 'hit'
      readonly tier: Tier
      readonly key: ResponseKey
      readonly entry: Entry
    }
  | { readonly outcome: 'miss'; readonly reason: string }

export interface LookupCondition {
  /** The asker's token limit: a complete answer serves every limit that it fits into. */
  readonly maxTokens: number | undefined
  /** Oldest acceptable answer, in seconds. */
  readonly maxAgeSeconds?: number | undefined
  /** The model's context as it is now: an answer that a smaller one cut off is not good enough. */
  readonly contextTokens?: number | undefined
}

export interface NewAnswer {
  readonly completion: Completion
  readonly maxTokens: number | undefined
  readonly costSeconds: number
  readonly fieldDigests: { readonly [field: string]: string }
  /** Absent: the answer stays on this node. */
  readonly share?: ShareAnswer
  /** Asked when it has been stored: whether it turned out to be wrong meanwhile. */
  readonly isWrong?: () => boolean
}

/** What makes an answer one of the swarm. */
export interface ShareAnswer {
  readonly swarm: SwarmTag | undefined
  /** Signs it. Runs in the background, after the client has its answer. */
  readonly certify: (lookupKey: LookupKey, expiresAt: number) => Promise<Uint8Array>
  /** The answer can be given to peers; undefined: it stays here. */
  readonly onStored: (lookupKey: LookupKey | undefined) => void
}

/** An answer that a peer had. */
export interface PeerEntry extends Omit<Entry, 'lookupKey' | 'storedAt' | 'expiresAt' | 'replies'> {
  /** When it was issued: passing on does not make an answer younger. */
  readonly storedAt: number
  /** Until when its receipt is good. */
  readonly expiresAt: number
  /** As it came: it is offered onward unchanged. */
  readonly sealed: Uint8Array
  /** What the opened answer weighs. */
  readonly plainBytes: number
  readonly swarm: SwarmTag | undefined
}

export interface ResponseCacheComponents {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  readonly scope: TaskScope
}

/**
 * Most ready-made replies of one entry: streams and bodies of every API, for a few model aliases.
 */
const repliesMax = 16

/** The reason of a miss where nothing is stored under the key. */
export const noEntry = 'no entry for this request'

/** Layer 1: finished answers, sealed in the store and opened in memory. */
export class ResponseCache {
  readonly #parts: ResponseCacheComponents
  /** How long an answer is served, from its making. */
  readonly ttlMs: number
  readonly #opened = new Lru<ResponseKey, Entry>(openedBytesMax)
  #fillsWaiting = 0

  constructor(components: ResponseCacheComponents, options: { readonly ttlMs: number }) {
    this.#parts = components
    this.ttlMs = options.ttlMs
  }

  /**
   * The complete answer if it fits the asker's limit, else the one that was cut at exactly that
   * limit.
   */
  find(key: ResponseKey, condition: LookupCondition): Lookup {
    const complete = this.#findOne(key, condition)
    if (complete.outcome === 'hit') return complete
    const limited = this.#findOne(limitedKey(key, condition.maxTokens ?? 0), condition)
    // Of two misses the one that had something to look at says more.
    return limited.outcome === 'hit' || complete.reason === noEntry ? limited : complete
  }

  /**
   * Keeps an answer: at once in memory, sealed on disk in the background. Sheds with a counted
   * reason when the disk cannot keep up. Returns the key under which it can be removed.
   */
  fill(key: ResponseKey, answer: NewAnswer): LookupKey {
    const { clock, metrics } = this.#parts
    const isCut = answer.completion.choices.some(choice => choice.finish === 'length')
    const ownKey = isCut ? limitedKey(key, answer.maxTokens ?? 0) : key
    const storedAt = clock.now()
    const entry: Entry = {
      lookupKey: lookupKey(ownKey),
      completion: answer.completion,
      maxTokens: answer.maxTokens,
      costSeconds: answer.costSeconds,
      storedAt,
      expiresAt: storedAt + this.ttlMs,
      replies: new Map(),
    }
    const plain = plainOf(entry)
    if (plain.length > answerBytesMax) {
      metrics.recordShed('too_large')
      answer.share?.onStored(undefined)
      return entry.lookupKey
    }
    this.#opened.set(ownKey, entry, plain.length)
    const { fieldDigests, share, isWrong = () => false } = answer
    const isQueued = this.#queueFill(async () => {
      const certified = share && (await this.#certified(ownKey, entry, share))
      const meta = { ...metaOf(entry), fieldDigests, ...(certified && sharedMeta(share?.swarm)) }
      const isStored = await this.#put(entry, {
        bytes: sealRecord(ownKey, certified ?? plain, this.#parts.random.bytes(12)),
        meta,
      })
      if (isWrong()) await this.remove(entry.lookupKey)
      share?.onStored(certified && isStored && !isWrong() ? entry.lookupKey : undefined)
    })
    if (!isQueued) share?.onStored(undefined)
    return entry.lookupKey
  }

  /** Keeps an answer that a peer had. It lives as long as its receipt, not past our own limit. */
  adopt(key: ResponseKey, answer: PeerEntry, onStored: ShareAnswer['onStored']): Entry {
    const { sealed, plainBytes, swarm, ...fields } = answer
    const expiresAt = Math.min(answer.expiresAt, answer.storedAt + this.ttlMs)
    const entry = { ...fields, expiresAt, lookupKey: lookupKey(key), replies: new Map() }
    // Taken within the tolerance for clocks: good for whoever asked, and for nobody after.
    if (expiresAt < this.#parts.clock.now()) {
      onStored(undefined)
      return entry
    }
    this.#opened.set(key, entry, plainBytes)
    const isQueued = this.#queueFill(async () => {
      const meta = { ...metaOf(entry), ...sharedMeta(swarm), fieldDigests: {} }
      const isStored = await this.#put(entry, { bytes: sealed, meta })
      onStored(isStored ? entry.lookupKey : undefined)
    })
    if (!isQueued) onStored(undefined)
    return entry
  }

  /** Runs a write in the background; false, counted, when too many wait already. */
  #queueFill(write: () => Promise<void>): boolean {
    const { metrics, scope } = this.#parts
    if (this.#fillsWaiting >= fillQueueMax) {
      metrics.recordShed('queue_full')
      return false
    }
    this.#fillsWaiting += 1
    scope.spawn('store answer', async () => {
      try {
        await write()
      } finally {
        this.#fillsWaiting -= 1
      }
    })
    return true
  }

  /**
   * The record with its receipt; from now on the opened entry shows it too. Undefined where it
   * could not be signed: then it stays here.
   */
  async #certified(
    key: ResponseKey,
    entry: Entry,
    share: ShareAnswer,
  ): Promise<Uint8Array | undefined> {
    const { scope, log } = this.#parts
    let receipt: Uint8Array
    try {
      receipt = await share.certify(entry.lookupKey, entry.expiresAt)
    } catch (error) {
      if (!scope.signal.aborted && !isAbort(error)) log.warn('answer not shared', { error })
      return undefined
    }
    const certified = { ...entry, receipt, replies: new Map() }
    const plain = plainOf(certified)
    if (this.#opened.peek(key) === entry) this.#opened.set(key, certified, plain.length)
    return plain
  }

  /** A ready-made reply of an opened entry; encoded by `encode` the first time. */
  reply(key: ResponseKey, entry: Entry, variant: string, encode: () => ReadyReply): ReadyReply {
    const ready = entry.replies.get(variant)
    if (ready !== undefined) return ready
    const reply = encode()
    if (entry.replies.size < repliesMax && this.#opened.get(key) === entry) {
      entry.replies.set(variant, reply)
      // The opened answer itself weighs about as much as one reply.
      let units = reply.body.length
      for (const { body } of entry.replies.values()) units += body.length
      this.#opened.set(key, entry, units)
    }
    return reply
  }

  async remove(key: LookupKey): Promise<boolean> {
    try {
      return await this.#parts.store.remove(key)
    } finally {
      // Opened entries go by response key, which a look-up key does not tell: forget them all, they
      // reload from disk. Not before: whoever asks meanwhile opens them again.
      this.#opened.clear()
    }
  }

  async clear(): Promise<void> {
    try {
      await this.#parts.store.clear()
    } finally {
      this.#opened.clear()
    }
  }

  #findOne(key: ResponseKey, condition: LookupCondition): Lookup {
    const now = this.#parts.clock.now()
    const opened = this.#opened.get(key)
    const found =
      opened === undefined ? this.#load(key) : { entry: opened, tier: 'memory' as const }
    if (found === undefined) return { outcome: 'miss', reason: noEntry }
    const { entry, tier } = found
    if (now > entry.expiresAt) return { outcome: 'miss', reason: 'the entry has expired' }
    if (condition.maxAgeSeconds !== undefined) {
      const ageSeconds = ageSecondsOf(entry, now)
      if (ageSeconds > condition.maxAgeSeconds) {
        return { outcome: 'miss', reason: `the entry is ${ageSeconds} s old, older than max-age` }
      }
    }
    const reason = whyUnfit(entry, condition)
    if (reason !== undefined) return { outcome: 'miss', reason }
    // What is served from here never reaches the store, which would take it for unused and evict
    // it.
    if (opened !== undefined) this.#parts.store.countUse(entry.lookupKey)
    return { outcome: 'hit', tier, key, entry }
  }

  #load(key: ResponseKey): { readonly entry: Entry; readonly tier: Tier } | undefined {
    const lookup = lookupKey(key)
    const stored = this.#parts.store.get(lookup)
    if (stored === undefined) return undefined
    try {
      const plain = openRecord(key, stored.bytes)
      const record = decodeResponseRecord(plain)
      const entry: Entry = {
        lookupKey: lookup,
        completion: completionOf(record),
        maxTokens: record.maxTokens ?? undefined,
        costSeconds: record.costMs / 1_000,
        storedAt: stored.meta.createdAt,
        expiresAt: stored.meta.expiresAt,
        ...(record.receipt === undefined ? {} : { receipt: record.receipt }),
        replies: new Map(),
      }
      this.#opened.set(key, entry, plain.length)
      return { entry, tier: stored.tier }
    } catch (error) {
      // A record that does not open is a miss for the client and damage for the operator.
      this.#parts.log.warn('record unreadable', { error })
      this.#parts.metrics.operationFailed('record_invalid')
      this.#parts.scope.spawn('remove record', async () => {
        await this.#parts.store.remove(lookup)
      })
      return undefined
    }
  }

  async #put(entry: Entry, record: NewRecord): Promise<boolean> {
    const { store, metrics, log } = this.#parts
    try {
      await store.put(entry.lookupKey, record)
      metrics.recordStored(record.bytes.length)
      return true
    } catch (error) {
      metrics.recordShed('store_failed')
      // The store says once what is wrong with it; an answer each would flood the log.
      log.debug('answer not stored', { error })
      return false
    }
  }
}

function sharedMeta(swarm: SwarmTag | undefined): Pick<RecordMeta, 'swarm'> {
  return swarm === undefined ? {} : { swarm }
}

function metaOf({ costSeconds, storedAt, expiresAt }: Entry): Omit<RecordMeta, 'fieldDigests'> {
  return { costSeconds, createdAt: storedAt, expiresAt }
}

function plainOf({ completion, costSeconds, maxTokens, receipt }: Entry): Uint8Array {
  const costMs = costSeconds * 1_000
  const made = { costMs, maxTokens, ...(receipt === undefined ? {} : { receipt }) }
  return encodeResponseRecord(recordOf(completion, made))
}

/** Whole seconds since the entry was made; 0 when the clock was set back. */
export function ageSecondsOf(entry: Entry, now: number): number {
  return Math.max(0, Math.floor((now - entry.storedAt) / 1_000))
}

/** Why an answer does not serve an asker with this token limit; undefined when it does. */
export function whyUnfit(
  entry: Pick<Entry, 'completion' | 'maxTokens'>,
  { maxTokens, contextTokens = 0 }: Pick<LookupCondition, 'maxTokens' | 'contextTokens'>,
): string | undefined {
  const isCut = entry.completion.choices.some(choice => choice.finish === 'length')
  if (isCut) {
    if (entry.maxTokens !== maxTokens) return 'the stored answer was cut at another limit'
    const isOutgrown = contextTokens > (cuttingContextOf(entry) ?? contextTokens)
    return isOutgrown ? 'the stored answer was cut at the end of a smaller context' : undefined
  }
  const { completionTokens } = entry.completion.usage
  if (maxTokens === undefined || completionTokens <= maxTokens) return undefined
  // The usage is of all choices together and the limit of each: made under one no larger, each
  // fits.
  if (entry.maxTokens !== undefined && entry.maxTokens <= maxTokens) return undefined
  return `the stored answer has ${completionTokens} tokens, more than the limit of ${maxTokens}`
}

/** The size of the context that cut off a single choice; undefined where its limit may have. */
function cuttingContextOf({
  completion,
  maxTokens = Infinity,
}: Pick<Entry, 'completion' | 'maxTokens'>): number | undefined {
  const { promptTokens, completionTokens } = completion.usage
  if (completion.choices.length > 1 || completionTokens >= maxTokens) return undefined
  return promptTokens + completionTokens
}
