import { OperationError } from '../../errors.ts'
import type { PeerDiscovery } from '../../interface/discovery.ts'
import type { Log } from '../../interface/log.ts'
import type { Network, PeerId, ProtocolName } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryCallsMax, directoryCallTimeoutMs, membersMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { Lru } from '../../std/lru.ts'
import { linkSignal } from '../../std/signal.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import {
  type AnnounceMessage,
  type AnnounceReply,
  type DirectoryMessage,
  decodeAnnounceReply,
  decodeFindReply,
  encodeDirectoryMessage,
} from '../../wire/directory-messages.ts'
import type { Members } from './members.ts'

export interface PeerCallsComponents {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly members: Members
  readonly discovery: Pick<PeerDiscovery, 'reach'> | undefined
  /** Whether members that are not connected are worth calling. */
  readonly isRegional: () => boolean
  readonly onAnswerInvalid: (peer: PeerId) => void
  readonly onUnreachable: (peer: PeerId) => void
}

export const directoryProtocol: ProtocolName = '/hyperspace/directory/1'

const announceTimeoutMs = 5_000
/** A peer that could not be reached is not called again within this time, whoever names it. */
const unreachableMs = 30_000

/** What this node says to others. Whoever does not answer, or nonsense, has not answered. */
export class PeerCalls {
  readonly #parts: PeerCallsComponents
  readonly #reaching = new Map<PeerId, Promise<boolean>>()
  /** Until when (monotonic ms) a peer is taken to be unreachable. */
  readonly #unreachable = new Lru<PeerId, number>(membersMax)
  #sentCount = 0

  constructor(components: PeerCallsComponents) {
    this.#parts = components
  }

  get sentCount(): number {
    return this.#sentCount
  }

  /** Whether another member that is not connected may be called now. */
  get isFree(): boolean {
    return this.#reaching.size < directoryCallsMax
  }

  /** Who that peer says provides each key. */
  async find(
    peer: PeerId,
    keys: readonly LookupKey[],
    timeoutMs: number,
  ): Promise<readonly (readonly PeerId[])[] | undefined> {
    return await this.#ask(peer, { type: 'find', keys }, timeoutMs, reply =>
      decodeFindReply(reply, keys.length),
    )
  }

  async announce(peer: PeerId, message: AnnounceMessage): Promise<AnnounceReply | undefined> {
    return await this.#ask(peer, message, announceTimeoutMs, decodeAnnounceReply)
  }

  /** Whether the peer is connected, after calling it if need be. Never rejects. */
  async reach(peer: PeerId): Promise<boolean> {
    const { members, discovery, isRegional, clock } = this.#parts
    if (members.has(peer)) return true
    const running = this.#reaching.get(peer)
    if (running !== undefined) return await running
    const isGone = (this.#unreachable.get(peer) ?? 0) > clock.monotonicMs()
    if (discovery === undefined || !isRegional() || isGone || !this.isFree) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#reaching.set(peer, promise)
    const done = (isReached: boolean): boolean => {
      this.#reaching.delete(peer)
      resolve(isReached)
      return isReached
    }
    return done(await this.#call(peer, discovery))
  }

  async #call(peer: PeerId, discovery: Pick<PeerDiscovery, 'reach'>): Promise<boolean> {
    const { clock, scope, members, onUnreachable } = this.#parts
    const linked = linkSignal(clock, [scope.signal], directoryCallTimeoutMs)
    try {
      await discovery.reach(peer, { signal: linked.signal })
      return members.has(peer)
    } catch (error) {
      this.#onFailure(peer, error)
      if (scope.signal.aborted) return false
      this.#unreachable.set(peer, clock.monotonicMs() + unreachableMs, 1)
      onUnreachable(peer)
      return false
    } finally {
      linked[Symbol.dispose]()
    }
  }

  async #ask<Reply>(
    peer: PeerId,
    message: DirectoryMessage,
    timeoutMs: number,
    decode: (reply: Uint8Array) => Reply,
  ): Promise<Reply | undefined> {
    const { network, clock, scope } = this.#parts
    const endMs = clock.monotonicMs() + timeoutMs
    if (!(await this.reach(peer))) return undefined
    try {
      this.#sentCount += 1
      const options = {
        signal: scope.signal,
        timeoutMs: Math.max(1, endMs - clock.monotonicMs()),
      }
      const body = encodeDirectoryMessage(message)
      return decode(await network.request(peer, directoryProtocol, body, options))
    } catch (error) {
      this.#onFailure(peer, error)
      return undefined
    }
  }

  #onFailure(peer: PeerId, error: unknown): void {
    const { scope, log, onAnswerInvalid } = this.#parts
    if (isInvalid(error)) onAnswerInvalid(peer)
    else if (!scope.signal.aborted) log.debug('directory message unanswered', { peer, error })
  }
}

export function isInvalid(error: unknown): boolean {
  return error instanceof OperationError && error.code === 'peer_message_invalid'
}
