import type { Directory } from '../../../interface/directory.ts'
import type { Log } from '../../../interface/log.ts'
import type { Store } from '../../../interface/store.ts'
import { type LookupKey, leavesKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { sharedKeysMax, sharedSweepIntervalMs, sharedSweepKeys } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { Startable } from '../../../std/lifecycle.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import { nextTurn } from '../../../std/turn.ts'

export interface SharedKeysComponents {
  readonly directory: Directory
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
}

/** Records of the store that are looked at in one turn of the event loop: about 1 ms. */
const listedAtOnce = 256

/**
 * The look-up keys that this node offers to its swarm. Whatever is not in here does not exist for
 * peers: a private entry and no entry take the same path, so that not even timing tells them apart.
 */
export class SharedKeys implements Startable {
  readonly name = 'shared keys'
  readonly #parts: SharedKeysComponents
  readonly #swarm: SwarmTag | undefined
  readonly #keys = new Set<LookupKey>()
  /** Those of the keys under which an answer's leaves are, not an answer. */
  readonly #leaves = new Set<LookupKey>()
  readonly #scope: TaskScope
  #unswept = this.#keys.values()
  #cancelSweep = (): void => undefined

  /** `swarm` is whose records of the store are offered. */
  constructor(components: SharedKeysComponents, swarm: SwarmTag | undefined) {
    this.#parts = components
    this.#swarm = swarm
    this.#scope = new TaskScope((task, error) =>
      components.log.warn('task failed', { task, error }),
    )
  }

  /** Offers what an earlier run of the node left in the store; nobody waits for it. */
  async start(): Promise<void> {
    this.#scope.spawn('offer stored answers', signal => this.#addStored(signal))
    this.#scheduleSweep()
  }

  async stop(): Promise<void> {
    this.#cancelSweep()
    await this.#scope.close()
  }

  get size(): number {
    return this.#keys.size
  }

  /** How many of the keys are of answers. */
  get answerCount(): number {
    return this.#keys.size - this.#leaves.size
  }

  has(key: LookupKey): boolean {
    return this.#keys.has(key)
  }

  /** Offers keys, those that were offered before at no cost. Past the maximum they stay private. */
  add(keys: readonly LookupKey[]): void {
    const room = sharedKeysMax - this.#keys.size
    const added = keys.filter(key => !this.#keys.has(key)).slice(0, room)
    for (const key of added) this.#keys.add(key)
    if (added.length > 0) this.#parts.directory.add(added)
  }

  /** Offers the leaves of an answer (spec/receipts.md §5). */
  addLeaves(key: LookupKey): void {
    this.add([key])
    if (this.#keys.has(key)) this.#leaves.add(key)
  }

  /** Withdraws a key, as after eviction. */
  remove(key: LookupKey): void {
    this.#leaves.delete(key)
    if (this.#keys.delete(key)) this.#parts.directory.remove([key])
  }

  async #addStored(signal: AbortSignal): Promise<void> {
    let listed = 0
    let found: LookupKey[] = []
    for (const { key, meta } of this.#parts.store.list()) {
      if (meta.swarm !== undefined && meta.swarm === this.#swarm) found.push(key)
      listed += 1
      if (listed % listedAtOnce > 0) continue
      this.add(found)
      found = []
      await nextTurn()
      if (signal.aborted) return
    }
    this.add(found)
    await this.#findLeaves(signal)
  }

  /** The store does not say which records are leaves; the key of their answer does. */
  async #findLeaves(signal: AbortSignal): Promise<void> {
    let count = 0
    for (const key of this.#keys) {
      const own = leavesKey(key)
      if (this.#keys.has(own)) this.#leaves.add(own)
      count += 1
      if (count % listedAtOnce > 0) continue
      await nextTurn()
      if (signal.aborted) return
    }
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#parts.clock.after(sharedSweepIntervalMs, () => {
      this.#sweep()
      this.#scheduleSweep()
    })
  }

  /** Withdraws some of what was evicted or has expired, and goes on from there the next time. */
  #sweep(): void {
    for (let count = 0; count < sharedSweepKeys; count++) {
      const { done, value } = this.#unswept.next()
      if (done) {
        this.#unswept = this.#keys.values()
        return
      }
      if (this.#parts.store.peek(value) === undefined) this.remove(value)
    }
  }
}
