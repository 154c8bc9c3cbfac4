import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryAnnounceKeysMax } from '../../limits.ts'
import {
  type AnnounceMessage,
  type AnnounceReply,
  addToSum,
  emptyKeySum,
  isSameSum,
  type KeySum,
  removeFromSum,
} from '../../wire/directory-messages.ts'

/** Longest pause after failures: an owner that thaws learns everything again within it. */
const backoffMsMax = 60_000

/** An announcement, but for what the node says of its mesh. */
export type Announcement = Omit<AnnounceMessage, 'regionalSeconds'>

export interface OutboxOptions {
  readonly intervalMs: number
  /** Records are renewed when this much of their life is over. */
  readonly renewAfterMs: number
}

/**
 * What one owner is yet to be told. It answers with the sum of what it holds of us, so whatever got
 * lost – a message, its memory, a removal – shows at the next announcement, and everything is sent
 * again.
 */
export class OwnerOutbox {
  readonly peer: PeerId
  readonly #options: OutboxOptions
  readonly #added = new Set<LookupKey>()
  readonly #removed = new Set<LookupKey>()
  /** Of all keys that this owner should hold when it has been told everything. */
  #assigned: KeySum = emptyKeySum
  /** An owner new to us may hold records of an earlier life of this node. */
  #isReset = true
  #isChecking = true
  /** A message failed, and maybe arrived: what the owner holds is not known for sure. */
  #isUncertain = false
  #inFlight: Announcement | undefined
  #dueMs = 0
  #renewAtMs = Number.POSITIVE_INFINITY
  #failures = 0
  #mismatches = 0

  constructor(peer: PeerId, options: OutboxOptions) {
    this.peer = peer
    this.#options = options
  }

  /** Keys that this owner should hold. */
  get assignedCount(): number {
    return this.#assigned.count
  }

  assign(key: LookupKey): void {
    this.#assigned = addToSum(this.#assigned, key)
    const isKnown = this.#removed.delete(key)
    if (!isKnown || this.#isUncertain) this.#added.add(key)
  }

  withdraw(key: LookupKey): void {
    this.#assigned = removeFromSum(this.#assigned, key)
    const isUnknown = this.#added.delete(key)
    if (!isUnknown || this.#isUncertain) this.#removed.add(key)
  }

  /** The owner was away for a moment: asks what it still holds. */
  check(): void {
    this.#isChecking = true
    this.#dueMs = 0
  }

  /** The message to send now, if any. Its outcome goes to `answered` or `failed`. */
  take(nowMs: number): Announcement | undefined {
    if (this.#inFlight !== undefined || nowMs < this.#dueMs) return undefined
    const isPending = this.#added.size + this.#removed.size > 0
    if (!isPending && !this.#isChecking && nowMs < this.#renewAtMs) return undefined
    this.#isChecking = false
    const added = takeFirst(this.#added, directoryAnnounceKeysMax)
    const removed = takeFirst(this.#removed, directoryAnnounceKeysMax - added.length)
    this.#inFlight = { type: 'announce', isReset: this.#isReset, added, removed }
    this.#isReset = false
    return this.#inFlight
  }

  /** `allKeys` lists what the owner should hold: used when it turns out that it does not. */
  answered(reply: AnnounceReply, nowMs: number, allKeys: () => Iterable<LookupKey>): void {
    if (reply.isRefused) {
      this.failed(nowMs)
      return
    }
    this.#inFlight = undefined
    this.#failures = 0
    const hasKeys = this.#assigned.count > 0
    this.#renewAtMs = hasKeys ? nowMs + this.#options.renewAfterMs : Number.POSITIVE_INFINITY
    if (this.#added.size + this.#removed.size > 0) return
    this.#isUncertain = false
    if (isSameSum(reply.held, this.#assigned)) this.#mismatches = 0
    else this.#startAgain(nowMs, allKeys())
  }

  /** Nobody knows whether the message arrived: saying it again does no harm. */
  failed(nowMs: number): void {
    const message = this.#inFlight
    if (message === undefined) return
    this.#inFlight = undefined
    this.#isUncertain = true
    this.#isChecking = true
    if (message.isReset) this.#isReset = true
    for (const key of message.added) if (!this.#removed.has(key)) this.#added.add(key)
    for (const key of message.removed) if (!this.#added.has(key)) this.#removed.add(key)
    this.#failures += 1
    this.#postpone(nowMs, this.#failures)
  }

  /** It was told everything and holds something else. Each time this repeats it waits longer. */
  #startAgain(nowMs: number, keys: Iterable<LookupKey>): void {
    this.#isReset = true
    this.#isChecking = true
    for (const key of keys) this.#added.add(key)
    this.#postpone(nowMs, this.#mismatches)
    this.#mismatches += 1
  }

  #postpone(nowMs: number, repeats: number): void {
    const pauseMs = this.#options.intervalMs * 2 ** Math.min(repeats, 16)
    this.#dueMs = nowMs + Math.min(pauseMs, backoffMsMax)
  }
}

function takeFirst(keys: Set<LookupKey>, countMax: number): readonly LookupKey[] {
  const taken: LookupKey[] = []
  for (const key of keys) {
    if (taken.length >= countMax) break
    taken.push(key)
    keys.delete(key)
  }
  return taken
}
