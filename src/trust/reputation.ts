import type { PeerId } from '../key/peer-id.ts'
import { reputationPeersMax } from '../limits.ts'
import type { Clock } from '../std/clock.ts'
import { Lru } from '../std/lru.ts'

/** What a peer did, as seen from here. */
export type PeerEvent =
  | 'good-answer'
  /** A record that does not open, decode or belong to the key. */
  | 'bad-record'
  /** A receipt or leaves that do not pass the check. */
  | 'bad-receipt'
  /** A message that is not of the protocol. */
  | 'invalid-message'
  | 'timeout'
  /** It closed, failed or could not be reached. */
  | 'failed'
  /** It said no although it had announced the key. */
  | 'refused'
  /** A block of KV state that it sent was computed again here, and was what it should be. */
  | 'audit-agreed'
  /** … and was not: whoever used it got wrong answers. */
  | 'audit-disagreed'

/** What this node remembers of a peer. */
export interface Standing {
  /** 0: nothing known. Below 0 it is asked later than others, above 0 earlier. */
  readonly score: number
  /** Monotonic milliseconds at which the score was so; it decays from then on. */
  readonly atMs: number
  /** Quarantines within the last `offencesForgottenMs`. */
  readonly offences: number
  /** Audits that agreed since the last that did not. */
  readonly auditsAgreed: number
  /** Monotonic milliseconds until which it is not used. */
  readonly quarantinedUntilMs: number
}

/**
 * Points by event. Two wrong records or receipts within an hour lead to quarantine: one may be a
 * bad disk. Timeouts and refusals cost order only, unless they go on.
 */
const points: { readonly [event in PeerEvent]: number } = {
  'good-answer': 2,
  'bad-record': -60,
  'bad-receipt': -60,
  'invalid-message': -40,
  timeout: -10,
  failed: -5,
  refused: -2,
  'audit-agreed': 5,
  // At once: a wrong block is no accident of a disk, whose blocks would not open.
  'audit-disagreed': -200,
}
/** Earned goodwill is small, so that nobody saves up for a wrong answer. */
const scoreMax = 20
const quarantineScore = -100
/** After a quarantine the peer is on probation: one wrong record leads back. */
const probationScore = -50
const halfLifeMs = 3_600_000
const quarantineFirstMs = 600_000
const quarantineMaxMs = 86_400_000
const offencesForgottenMs = 86_400_000
/** So many points below 0 count as much as a doubled round trip. */
const pointsPerDoubling = 20
/** Assumed until measured: a usual path between continents. */
const unknownRoundTripMs = 100

export const unknownStanding: Standing = {
  score: 0,
  atMs: 0,
  offences: 0,
  auditsAgreed: 0,
  quarantinedUntilMs: Number.NEGATIVE_INFINITY,
}

/** The standing after an event. Pure. */
export function nextStanding(before: Standing, event: PeerEvent, nowMs: number): Standing {
  const isForgotten = nowMs - before.quarantinedUntilMs > offencesForgottenMs
  const offences = isForgotten ? 0 : before.offences
  const auditsAgreed = auditsAgreedAfter(before.auditsAgreed, event)
  const score = Math.min(scoreMax, scoreAt(before, nowMs) + points[event])
  if (score > quarantineScore) return { ...before, score, atMs: nowMs, offences, auditsAgreed }
  const quarantineMs = Math.min(quarantineMaxMs, quarantineFirstMs * 2 ** offences)
  return {
    score: probationScore,
    // The decay stands still during the quarantine.
    atMs: nowMs + quarantineMs,
    offences: offences + 1,
    auditsAgreed,
    quarantinedUntilMs: nowMs + quarantineMs,
  }
}

function auditsAgreedAfter(before: number, event: PeerEvent): number {
  if (event === 'audit-disagreed') return 0
  return event === 'audit-agreed' ? before + 1 : before
}

/** The score as it has decayed by now. Pure. */
export function scoreAt({ score, atMs }: Standing, nowMs: number): number {
  return score * 0.5 ** (Math.max(0, nowMs - atMs) / halfLifeMs)
}

/** What this node thinks of its peers, from its own experience only. */
export class Reputation {
  readonly #clock: Clock
  readonly #standings = new Lru<PeerId, Standing>(reputationPeersMax)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  note(peer: PeerId, event: PeerEvent): void {
    const after = nextStanding(this.#standing(peer), event, this.#clock.monotonicMs())
    this.#standings.set(peer, after, 1)
  }

  /** What the audit schedule goes by. */
  standingOf(peer: PeerId): Standing {
    return this.#standing(peer)
  }

  scoreOf(peer: PeerId): number {
    return scoreAt(this.#standing(peer), this.#clock.monotonicMs())
  }

  /** Milliseconds for which the peer is not used yet; 0 when it may be. */
  quarantineMs(peer: PeerId): number {
    return Math.max(0, this.#standing(peer).quarantinedUntilMs - this.#clock.monotonicMs())
  }

  isQuarantined(peer: PeerId): boolean {
    return this.quarantineMs(peer) > 0
  }

  /**
   * The peers to ask, best first: by round trip, longer for whom went wrong before. Peers in
   * quarantine are left out; equal ones stay in their order.
   */
  rank(
    peers: readonly PeerId[],
    roundTripMs: (peer: PeerId) => number | undefined,
  ): readonly PeerId[] {
    return peers
      .filter(peer => !this.isQuarantined(peer))
      .map(peer => ({ peer, cost: this.#costOf(peer, roundTripMs(peer)) }))
      .sort((a, b) => a.cost - b.cost)
      .map(({ peer }) => peer)
  }

  /** One millisecond more, so that the score decides among peers on one machine. */
  #costOf(peer: PeerId, roundTripMs: number | undefined): number {
    const ms = 1 + Math.max(0, roundTripMs ?? unknownRoundTripMs)
    return ms * 2 ** (-this.scoreOf(peer) / pointsPerDoubling)
  }

  #standing(peer: PeerId): Standing {
    return this.#standings.get(peer) ?? unknownStanding
  }
}
