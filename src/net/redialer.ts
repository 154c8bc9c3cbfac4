import type { Log } from '../interface/log.ts'
import type { PeerId } from '../interface/network.ts'
import {
  bannedPeersMax,
  discoveredAttemptsMax,
  membersMax,
  redialFirstMs,
  redialLongestMs,
} from '../limits.ts'
import { type Clock, delay } from '../std/clock.ts'
import { Lru } from '../std/lru.ts'
import type { Random } from '../std/random.ts'
import { TaskScope } from '../std/task-scope.ts'
import { errorLabel } from './session/error-label.ts'

export interface RedialerComponents {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  /** Connects; returns at once if the peer that is known to be there is connected already. */
  readonly dial: (address: string, peer: PeerId | undefined, signal: AbortSignal) => Promise<PeerId>
  /** Resolves once the peer is not connected any more. */
  readonly disconnected: (peer: PeerId, signal: AbortSignal) => Promise<void>
}

export interface KeepOptions {
  /** Whom to find there; undefined if only the address is known. */
  readonly peer: PeerId | undefined
  /** Asked for by a person: never given up. Others go after some failures. */
  readonly isPinned: boolean
}

interface Kept {
  peer: PeerId | undefined
  isPinned: boolean
  readonly controller: AbortController
}

/** Keeps connections up: dials, waits until the peer is lost, and dials again with back-off. */
export class Redialer {
  readonly #parts: RedialerComponents
  readonly #kept = new Map<string, Kept>()
  readonly #suspended = new Lru<PeerId, readonly string[]>(bannedPeersMax)
  readonly #scope: TaskScope

  constructor(components: RedialerComponents) {
    this.#parts = components
    this.#scope = new TaskScope((_, error) =>
      components.log.error('redial failed', { error: errorLabel(error) }),
    )
  }

  get addresses(): readonly string[] {
    return [...this.#kept.keys()]
  }

  isKept(peer: PeerId): boolean {
    return [...this.#kept.values()].some(kept => kept.peer === peer)
  }

  /** Begins to keep a connection. What is kept already stays as it is; past the limit, nothing. */
  keep(address: string, { peer, isPinned }: KeepOptions): void {
    const existing = this.#kept.get(address)
    if (existing !== undefined) existing.isPinned ||= isPinned
    if (existing !== undefined || this.#kept.size >= membersMax) return
    const kept: Kept = { peer, isPinned, controller: new AbortController() }
    this.#kept.set(address, kept)
    this.#scope.spawn('redial', async scopeSignal => {
      const stop = (): void => kept.controller.abort(scopeSignal.reason)
      scopeSignal.addEventListener('abort', stop)
      try {
        await this.#keepUp(address, kept)
      } finally {
        scopeSignal.removeEventListener('abort', stop)
        if (this.#kept.get(address) === kept) this.#kept.delete(address)
      }
    })
  }

  /** Forgets a peer's addresses. */
  forget(peer: PeerId): void {
    for (const [address, kept] of this.#kept) {
      if (kept.peer !== peer) continue
      this.#kept.delete(address)
      kept.controller.abort(new DOMException('Not kept any more', 'AbortError'))
    }
  }

  /** Stops keeping a peer, but not for good: `resume` begins again where a person had named it. */
  suspend(peer: PeerId): void {
    const named = [...this.#kept].filter(([, kept]) => kept.peer === peer && kept.isPinned)
    const addresses = named.map(([address]) => address)
    if (addresses.length > 0) this.#suspended.set(peer, addresses, 1)
    this.forget(peer)
  }

  resume(peer: PeerId): void {
    for (const address of this.#suspended.get(peer) ?? []) {
      this.keep(address, { peer, isPinned: true })
    }
    this.#suspended.delete(peer)
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  async #keepUp(address: string, kept: Kept): Promise<void> {
    const { dial, disconnected, clock, log } = this.#parts
    const { signal } = kept.controller
    let failures = 0
    while (!signal.aborted && (kept.isPinned || failures < discoveredAttemptsMax)) {
      try {
        kept.peer = await dial(address, kept.peer, signal)
        failures = 0
        await disconnected(kept.peer, signal)
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        // Somebody else's swarm will not become ours.
        if (!kept.isPinned && errorLabel(error) === 'swarm_refused') return
        log.debug('peer not reached', { address, failures, error: errorLabel(error) })
      }
      await delay(clock, pauseMs(failures, this.#parts.random), signal).catch(() => undefined)
    }
  }
}

/**
 * Doubles with each failure, up to the longest; a random half of it is left off, so that all who
 * lost the same peer do not come back at the same moment.
 */
export function pauseMs(failures: number, random: Random): number {
  const fullMs = Math.min(redialFirstMs * 2 ** Math.min(failures, 16), redialLongestMs)
  const [byte = 0] = random.bytes(1)
  return fullMs * (1 - byte / 512)
}
