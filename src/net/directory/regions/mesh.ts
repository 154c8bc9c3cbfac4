import { createHash } from 'node:crypto'
import type { PeerDiscovery } from '../../../interface/discovery.ts'
import type { Log } from '../../../interface/log.ts'
import type { PeerId } from '../../../interface/network.ts'
import { directoryRegionPeersMax, directoryWalkTimeoutMs } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import { linkSignal } from '../../../std/signal.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import type { Members } from '../members.ts'

export interface MeshComponents {
  readonly self: PeerId
  readonly clock: Clock
  readonly log: Log
  readonly scope: TaskScope
  readonly members: Members
  /** Without it all members are taken to be connected with all. */
  readonly discovery: Pick<PeerDiscovery, 'closestPeers'> | undefined
}

export interface MeshOptions {
  /** How often it is looked whether there are members that are not connected. */
  readonly surveyIntervalMs: number
  /** How long a mesh that was found to be partial is taken for it. */
  readonly regionalMs: number
}

/** Surveys in a row that must say the same: members are connected one after the other. */
const surveysNeeded = 3
/** A member in ten that is missing leaves rendezvous owners in common; more do not. */
const missingShareMax = 0.1
/** While nothing changes, surveys become rarer, up to this many intervals. */
const intervalsMax = 6

/**
 * Whether all members are connected with all, so that all choose the same owners (ADR 0005). A node
 * that finds members it is not connected with says so to its neighbours, and they to theirs: the
 * whole swarm has to choose owners in one way. What is said has an end, which only those who find
 * it themselves put off.
 */
export class Mesh {
  readonly #parts: MeshComponents
  readonly #options: MeshOptions
  #regionalUntilMs = 0
  #surveys = 0
  #partialInRow = 0
  #pauseIntervals = 0.5
  #dueMs: number | undefined
  #isSurveying = false

  constructor(components: MeshComponents, options: MeshOptions) {
    this.#parts = components
    this.#options = options
  }

  /** For how long still owners are those of regions; 0 where all members are connected. */
  regionalMs(nowMs: number): number {
    return Math.max(0, this.#regionalUntilMs - nowMs)
  }

  /** A neighbour says that the mesh is partial, for so long. */
  told(ms: number, nowMs: number): void {
    if (this.#parts.discovery === undefined) return
    const boundedMs = Math.min(ms, this.#options.regionalMs)
    this.#regionalUntilMs = Math.max(this.#regionalUntilMs, nowMs + boundedMs)
  }

  tick(nowMs: number): void {
    const { members, scope, discovery } = this.#parts
    const { regionalMs, surveyIntervalMs } = this.#options
    if (discovery === undefined) return
    if (members.isCrowded) this.#regionalUntilMs = nowMs + regionalMs
    // Whoever is alone has nobody to ask.
    if (members.size < 2) this.#dueMs = undefined
    else this.#dueMs ??= nowMs + surveyIntervalMs / 20
    if (this.#isSurveying || this.#dueMs === undefined || nowMs < this.#dueMs) return
    this.#isSurveying = true
    scope.spawn('mesh survey', async signal => {
      try {
        this.#judge(await this.#missingShare(discovery, signal))
      } finally {
        this.#isSurveying = false
      }
    })
  }

  #judge(missingShare: number | undefined): void {
    const { surveyIntervalMs, regionalMs } = this.#options
    const nowMs = this.#parts.clock.monotonicMs()
    const isPartial = missingShare !== undefined && missingShare > missingShareMax
    this.#partialInRow = isPartial ? this.#partialInRow + 1 : 0
    if (this.#partialInRow >= surveysNeeded) this.#regionalUntilMs = nowMs + regionalMs
    if (isPartial && this.#partialInRow < surveysNeeded) {
      this.#pauseIntervals = 0.1
    } else this.#pauseIntervals = Math.min(Math.max(1, 2 * this.#pauseIntervals), intervalsMax)
    this.#dueMs = nowMs + this.#pauseIntervals * surveyIntervalMs
  }

  /** Which part of the members near some place is not connected; undefined where none was named. */
  async #missingShare(
    discovery: Pick<PeerDiscovery, 'closestPeers'>,
    scopeSignal: AbortSignal,
  ): Promise<number | undefined> {
    const { self, clock, log, members } = this.#parts
    this.#surveys += 1
    const place = createHash('sha256').update(`${self} ${this.#surveys}`).digest()
    // The walk itself connects whom it meets.
    const connected = new Set(members.peers())
    const named = new Set<PeerId>()
    const linked = linkSignal(clock, [scopeSignal], directoryWalkTimeoutMs)
    try {
      for await (const peer of discovery.closestPeers(place, { signal: linked.signal })) {
        if (peer !== self) named.add(peer)
        if (named.size >= directoryRegionPeersMax) break
      }
    } catch (error) {
      if (!linked.signal.aborted) log.debug('mesh survey failed', { error })
    } finally {
      linked[Symbol.dispose]()
    }
    if (named.size === 0) return undefined
    return [...named].filter(peer => !connected.has(peer)).length / named.size
  }
}
