import type { Completion } from '../interface/generation.ts'
import type { Log } from '../interface/log.ts'
import type { Metrics } from '../interface/metrics.ts'
import type { Store, Tier } from '../interface/store.ts'
import { type LookupKey, limitedKey, lookupKey, type ResponseKey } from '../key/response-key.ts'
import { answerBytesMax, fillQueueMax, openedBytesMax } from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import { Lru } from '../std/lru.ts'
import type { Random } from '../std/random.ts'
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
  readonly #ttlMs: number
  readonly #opened = new Lru<ResponseKey, Entry>(openedBytesMax)
  #fillsWaiting = 0

  constructor(components: ResponseCacheComponents, options: { readonly ttlMs: number }) {
    this.#parts = components
    this.#ttlMs = options.ttlMs
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
   * reason when the disk cannot keep up.
   */
  fill(key: ResponseKey, answer: NewAnswer): void {
    const { clock, metrics, scope } = this.#parts
    const isCut = answer.completion.choices.some(choice => choice.finish === 'length')
    const ownKey = isCut ? limitedKey(key, answer.maxTokens ?? 0) : key
    const record = recordOf(answer.completion, {
      costMs: answer.costSeconds * 1_000,
      maxTokens: answer.maxTokens,
    })
    const plain = encodeResponseRecord(record)
    if (plain.length > answerBytesMax) {
      metrics.recordShed('too_large')
      return
    }
    const storedAt = clock.now()
    const entry: Entry = {
      lookupKey: lookupKey(ownKey),
      completion: answer.completion,
      maxTokens: answer.maxTokens,
      costSeconds: answer.costSeconds,
      storedAt,
      expiresAt: storedAt + this.#ttlMs,
      replies: new Map(),
    }
    this.#opened.set(ownKey, entry, plain.length)
    if (this.#fillsWaiting >= fillQueueMax) {
      metrics.recordShed('queue_full')
      return
    }
    this.#fillsWaiting += 1
    scope.spawn('store answer', async () => {
      try {
        await this.#put(ownKey, plain, entry, answer.fieldDigests)
      } finally {
        this.#fillsWaiting -= 1
      }
    })
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
    // Opened entries go by response key, which a look-up key does not tell: forget them all, they
    // reload from disk.
    this.#opened.clear()
    return await this.#parts.store.remove(key)
  }

  async clear(): Promise<void> {
    this.#opened.clear()
    await this.#parts.store.clear()
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

  async #put(
    key: ResponseKey,
    plain: Uint8Array,
    entry: Entry,
    fieldDigests: NewAnswer['fieldDigests'],
  ): Promise<void> {
    const { store, random, metrics, log } = this.#parts
    const bytes = sealRecord(key, plain, random.bytes(12))
    const { costSeconds, storedAt: createdAt, expiresAt } = entry
    try {
      await store.put(entry.lookupKey, {
        bytes,
        meta: { costSeconds, createdAt, expiresAt, fieldDigests },
      })
      metrics.recordStored(bytes.length)
    } catch (error) {
      metrics.recordShed('store_failed')
      // The store says once what is wrong with it; an answer each would flood the log.
      log.debug('answer not stored', { error })
    }
  }
}

/** Whole seconds since the entry was made; 0 when the clock was set back. */
export function ageSecondsOf(entry: Entry, now: number): number {
  return Math.max(0, Math.floor((now - entry.storedAt) / 1_000))
}

function whyUnfit(
  entry: Entry,
  { maxTokens, contextTokens = 0 }: LookupCondition,
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
function cuttingContextOf({ completion, maxTokens = Infinity }: Entry): number | undefined {
  const { promptTokens, completionTokens } = completion.usage
  if (completion.choices.length > 1 || completionTokens >= maxTokens) return undefined
  return promptTokens + completionTokens
}
