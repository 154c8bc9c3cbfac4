import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import {
  directoryAnnounceBurst,
  directoryAnnouncePerSecond,
  directoryProvidersMax,
  directoryRecordsMax,
  directoryRecordsPerPeerMax,
} from '../../limits.ts'
import {
  type AnnounceMessage,
  type AnnounceReply,
  addToSum,
  emptyKeySum,
  type KeySum,
  removeFromSum,
} from '../../wire/directory-messages.ts'

export interface OwnedRecordsOptions {
  /** How long a provider's records last after its last announcement. */
  readonly leaseMs: number
  /** How long they last after its connection is lost. */
  readonly graceMs: number
}

export type Refusal = 'announce_flood' | 'records_limit'

interface Provider {
  readonly keys: Set<LookupKey>
  held: KeySum
  leaseEndsMs: number
  /** It does without a full mesh: its records outlast its connection, until the lease ends. */
  isLasting: boolean
  /** When it was disconnected; undefined while it is not. */
  goneSinceMs: number | undefined
  /** Announcements that it may still send, and since when they are counted. */
  tokens: number
  tokensAtMs: number
}

/**
 * What other nodes told this one, as an owner, that they hold. All records of a provider live and
 * die together: each of its announcements, even an empty one, renews them all.
 */
export class OwnedRecords {
  readonly #options: OwnedRecordsOptions
  readonly #providers = new Map<PeerId, Provider>()
  readonly #byKey = new Map<LookupKey, PeerId[]>()
  #count = 0
  #turn = 0

  constructor(options: OwnedRecordsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#count
  }

  /** Takes an announcement in; `refusal` says what was wrong with it. */
  apply(
    peer: PeerId,
    announce: AnnounceMessage,
    nowMs: number,
  ): AnnounceReply & { readonly refusal?: Refusal } {
    const provider = this.#providerOf(peer, nowMs)
    if (!takeToken(provider, nowMs)) {
      return { isRefused: true, held: provider.held, refusal: 'announce_flood' }
    }
    provider.leaseEndsMs = nowMs + this.#options.leaseMs
    provider.isLasting = announce.regionalSeconds > 0
    if (announce.isReset) this.#forgetKeys(peer, provider)
    for (const key of announce.removed) this.#remove(peer, provider, key)
    const isComplete = announce.added.every(key => this.#add(peer, provider, key))
    const { held } = provider
    return isComplete
      ? { isRefused: false, held }
      : { isRefused: true, held, refusal: 'records_limit' }
  }

  /**
   * Peers that announced the key and are connected, then those that need not be. Where there are
   * many, other ones each time.
   */
  providersOf(key: LookupKey): readonly PeerId[] {
    const peers = this.#byKey.get(key) ?? []
    const present = peers.filter(peer => !this.#isGone(peer))
    for (const peer of peers) {
      if (this.#isGone(peer) && this.#providers.get(peer)?.isLasting) present.push(peer)
    }
    if (present.length <= directoryProvidersMax) return present
    this.#turn = (this.#turn + directoryProvidersMax) % present.length
    return [...present, ...present].slice(this.#turn, this.#turn + directoryProvidersMax)
  }

  connected(peer: PeerId): void {
    const provider = this.#providers.get(peer)
    if (provider !== undefined) provider.goneSinceMs = undefined
  }

  disconnected(peer: PeerId, nowMs: number): void {
    const provider = this.#providers.get(peer)
    if (provider !== undefined) provider.goneSinceMs ??= nowMs
  }

  /** Forgets providers whose time is over. */
  sweep(nowMs: number): void {
    for (const [peer, provider] of this.#providers) {
      const { goneSinceMs, leaseEndsMs, isLasting, keys } = provider
      const isGone = goneSinceMs !== undefined && goneSinceMs + this.#options.graceMs <= nowMs
      const isOver = leaseEndsMs <= nowMs
      if (!isOver && (!isGone || (isLasting && keys.size > 0))) continue
      this.#forgetKeys(peer, provider)
      if (isGone) this.#providers.delete(peer)
    }
  }

  clear(): void {
    this.#providers.clear()
    this.#byKey.clear()
    this.#count = 0
  }

  #isGone(peer: PeerId): boolean {
    return this.#providers.get(peer)?.goneSinceMs !== undefined
  }

  #providerOf(peer: PeerId, nowMs: number): Provider {
    const known = this.#providers.get(peer)
    if (known !== undefined) return known
    const provider: Provider = {
      keys: new Set(),
      held: emptyKeySum,
      leaseEndsMs: nowMs,
      isLasting: false,
      goneSinceMs: undefined,
      tokens: directoryAnnounceBurst,
      tokensAtMs: nowMs,
    }
    this.#providers.set(peer, provider)
    return provider
  }

  /** Whether the key is recorded now. */
  #add(peer: PeerId, provider: Provider, key: LookupKey): boolean {
    if (provider.keys.has(key)) return true
    if (provider.keys.size >= directoryRecordsPerPeerMax) return false
    if (this.#count >= directoryRecordsMax) return false
    provider.keys.add(key)
    provider.held = addToSum(provider.held, key)
    this.#count += 1
    const peers = this.#byKey.get(key)
    if (peers === undefined) this.#byKey.set(key, [peer])
    else peers.push(peer)
    return true
  }

  #remove(peer: PeerId, provider: Provider, key: LookupKey): void {
    if (!provider.keys.delete(key)) return
    provider.held = removeFromSum(provider.held, key)
    this.#unlink(peer, key)
  }

  #forgetKeys(peer: PeerId, provider: Provider): void {
    for (const key of provider.keys) this.#unlink(peer, key)
    provider.keys.clear()
    provider.held = emptyKeySum
  }

  #unlink(peer: PeerId, key: LookupKey): void {
    this.#count -= 1
    const rest = this.#byKey.get(key)?.filter(other => other !== peer) ?? []
    if (rest.length === 0) this.#byKey.delete(key)
    else this.#byKey.set(key, rest)
  }
}

/** A bucket that fills at the sustained rate: whether the peer may send one more. */
function takeToken(provider: Provider, nowMs: number): boolean {
  const earned = ((nowMs - provider.tokensAtMs) / 1_000) * directoryAnnouncePerSecond
  provider.tokens = Math.min(provider.tokens + earned, directoryAnnounceBurst)
  provider.tokensAtMs = nowMs
  if (provider.tokens < 1) return false
  provider.tokens -= 1
  return true
}
