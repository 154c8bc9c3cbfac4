import { OperationError } from '../../errors.ts'
import type { Directory, DirectoryStats, FindOptions } from '../../interface/directory.ts'
import type { PeerChange, PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import {
  type AnnounceMessage,
  decodeDirectoryMessage,
  encodeAnnounceReply,
  encodeFindReply,
} from '../../wire/directory-messages.ts'
import {
  createParts,
  type DirectoryComponents,
  type DirectoryOptions,
  type DirectoryParts,
  type Misbehaviour,
} from './directory-parts.ts'
import { directoryProtocol, isInvalid } from './peer-calls.ts'

export { directoryProtocol } from './peer-calls.ts'

/**
 * The directory over any network (DESIGN §5). Every key has three owners among the known members –
 * those that are connected, and this node – by rendezvous hashing. Providers tell owners what
 * changed, one message per owner and interval; look-ups ask the three at once. Up to
 * `directoryAskAllMax` members everybody is asked instead and nothing is announced: each answers
 * for what it provides itself.
 *
 * Where not all members are connected with all, the owners of a key are the three nearest to it in
 * the space of the swarm's hash table, connected or not (ADR 0005); messages are the same.
 */
export class RendezvousDirectory implements Directory {
  readonly name = 'directory'
  readonly #components: DirectoryComponents
  readonly #parts: DirectoryParts
  #endTelling = (): void => undefined
  #cancelTick = (): void => undefined
  #isRunning = false
  #messagesReceived = 0

  constructor(components: DirectoryComponents, options: DirectoryOptions = {}) {
    this.#components = components
    this.#parts = createParts(components, options, (peer, reason) =>
      this.#onMisbehaviour(peer, reason),
    )
    // Networks want their handlers before they start, and they start before this does.
    components.network.serve(directoryProtocol, async (body, from) => this.#answer(body, from))
  }

  async start(): Promise<void> {
    const { network } = this.#components
    this.#isRunning = true
    this.#endTelling = network.onPeerChange(change => this.#onPeerChange(change))
    for (const peer of [network.self, ...network.peers().map(({ id }) => id)]) this.#join(peer)
    this.#scheduleTick()
  }

  async stop(): Promise<void> {
    const { scope, members, owned, regions } = this.#parts
    this.#isRunning = false
    this.#endTelling()
    this.#cancelTick()
    await scope.close()
    members.clear()
    owned.clear()
    regions?.clear()
  }

  add(keys: readonly LookupKey[]): void {
    const refusedCount = this.#parts.provided.add(keys)
    const { log } = this.#components
    if (refusedCount > 0) log.warn('announcements refused', { count: refusedCount })
  }

  remove(keys: readonly LookupKey[]): void {
    this.#parts.provided.remove(keys)
  }

  find(key: LookupKey, options: FindOptions): AsyncIterable<PeerId> {
    return this.#parts.lookups.find(key, options)
  }

  stats(): DirectoryStats {
    const { members, provided, owned, calls, announcer } = this.#parts
    return {
      members: members.size,
      isRegional: announcer.isRegional,
      provided: provided.size,
      owned: owned.size,
      messagesSent: calls.sentCount,
      messagesReceived: this.#messagesReceived,
    }
  }

  #answer(body: Uint8Array, from: PeerId): Uint8Array {
    this.#messagesReceived += 1
    if (!this.#isRunning) {
      throw new OperationError('peer_overloaded', 'The directory does not run', { origin: 'self' })
    }
    try {
      const message = decodeDirectoryMessage(body)
      if (message.type === 'announce') return this.#takeAnnounce(from, message)
      return encodeFindReply(message.keys.map(key => this.#providersOf(key)))
    } catch (error) {
      if (isInvalid(error)) this.#onMisbehaviour(from, 'message_invalid')
      throw error
    }
  }

  #takeAnnounce(from: PeerId, message: AnnounceMessage): Uint8Array {
    const { owned, members, mesh } = this.#parts
    const nowMs = this.#components.clock.monotonicMs()
    const { refusal, ...reply } = owned.apply(from, message, nowMs)
    if (refusal === undefined) mesh.told(message.regionalSeconds * 1_000, nowMs)
    else this.#onMisbehaviour(from, refusal)
    if (!members.has(from)) owned.disconnected(from, nowMs)
    return encodeAnnounceReply(reply)
  }

  #providersOf(key: LookupKey): readonly PeerId[] {
    const { owned, provided } = this.#parts
    const others = owned.providersOf(key)
    return provided.has(key) ? [this.#components.network.self, ...others] : others
  }

  #onPeerChange({ type, peer }: PeerChange): void {
    const { members, owned, announcer } = this.#parts
    if (type === 'connected') this.#join(peer)
    else {
      members.leave(peer)
      owned.disconnected(peer, this.#components.clock.monotonicMs())
      announcer.left(peer)
    }
  }

  #join(peer: PeerId): void {
    const { members, owned, announcer } = this.#parts
    members.join(peer)
    announcer.joined(peer)
    owned.connected(peer)
  }

  #scheduleTick(): void {
    const { announceIntervalMs } = this.#parts.options
    this.#cancelTick = this.#components.clock.after(announceIntervalMs, () => {
      this.#parts.announcer.tick()
      this.#scheduleTick()
    })
  }

  #onMisbehaviour(peer: PeerId, reason: Misbehaviour): void {
    const { log, onMisbehaviour } = this.#components
    log.debug('directory message refused', { peer, reason })
    onMisbehaviour?.(peer, reason)
  }
}
