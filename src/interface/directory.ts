import type { LookupKey } from '../key/response-key.ts'
import type { Startable } from '../std/lifecycle.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { PeerId } from './network.ts'

/**
 * Which peers hold a key (DESIGN §5). Soft state: a record vanishes with its provider and expires
 * unless refreshed, and a wrong one costs a miss, never a wrong answer. Asking costs one round trip
 * over streams that are open already; telling costs one batched message per owner and interval.
 *
 * `directory.compliance.ts` is the contract in code.
 */
export interface Directory extends Startable {
  /**
   * Announces that this node holds the keys. Batched: takes effect within the announce interval.
   */
  add(keys: readonly LookupKey[]): void
  /** Withdraws keys, as after eviction. */
  remove(keys: readonly LookupKey[]): void
  /**
   * Peers that say they hold the key, in the order in which they are learned, without this node
   * and without repeats. Ends when nobody else can know, or at the deadline; finding nobody is no
   * error. Keys asked for at the same time share one message per owner.
   */
  find(key: LookupKey, options: FindOptions): AsyncIterable<PeerId>
  stats(): DirectoryStats
}

export interface FindOptions extends AbortOptions {
  /** How long it may take at most, from the call on. */
  readonly deadlineMs: number
}

export interface DirectoryStats {
  /** Members known, this node included. */
  readonly members: number
  /** Whether not all members are connected with all: those that are cannot know all keys. */
  readonly isRegional: boolean
  /** Keys that this node announces. */
  readonly provided: number
  /** Records of other providers that this node keeps as an owner. */
  readonly owned: number
  readonly messagesSent: number
  readonly messagesReceived: number
}
