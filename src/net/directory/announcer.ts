import type { PeerId } from '../../interface/network.ts'
import type { Clock } from '../../std/clock.ts'
import type { TaskScope } from '../../std/task-scope.ts'
import type { AnnounceMessage } from '../../wire/directory-messages.ts'
import type { Member } from './choose-owners.ts'
import { isSmall, type Members } from './members.ts'
import type { OwnedRecords } from './owned-records.ts'
import type { OwnerOutbox } from './owner-outbox.ts'
import type { PeerCalls } from './peer-calls.ts'
import type { ProvidedKeys } from './provided-keys.ts'
import type { Mesh } from './regions/mesh.ts'
import type { Regions } from './regions/regions.ts'

export interface AnnouncerComponents {
  readonly clock: Clock
  readonly scope: TaskScope
  readonly members: Members
  readonly mesh: Mesh
  readonly regions: Regions | undefined
  readonly provided: ProvidedKeys
  readonly owned: OwnedRecords
  readonly calls: PeerCalls
}

/** Follows who is there, and tells owners at every tick what changed. */
export class Announcer {
  readonly #parts: AnnouncerComponents
  /** Members that came since the last tick. */
  readonly #arrived = new Set<PeerId>()
  /** The members that provided keys are spread over since the last tick. */
  #placedOver: readonly Member[] = []
  #isRegional = false

  constructor(components: AnnouncerComponents) {
    this.#parts = components
  }

  /** Whether owners are those of regions, because the mesh is partial. */
  get isRegional(): boolean {
    return this.#isRegional
  }

  joined(peer: PeerId): void {
    this.#arrived.add(peer)
    this.#parts.regions?.regain(peer)
  }

  left(peer: PeerId): void {
    const { members, provided } = this.#parts
    // An owner is called again at once, so as to learn whether it is gone. Where connections are
    // scarce, this one was most likely given up for another.
    if (this.#isRegional && members.hasRoom) provided.check(peer)
  }

  unreachable(peer: PeerId): void {
    this.#parts.regions?.lose(peer)
    if (this.#isRegional) this.#parts.provided.lose(peer)
  }

  tick(): void {
    const { clock, scope, members, mesh, provided, owned, calls } = this.#parts
    const nowMs = clock.monotonicMs()
    mesh.tick(nowMs)
    this.#place(nowMs)
    provided.chooseOwners()
    owned.sweep(nowMs)
    const regionalSeconds = Math.min(Math.ceil(mesh.regionalMs(nowMs) / 1_000), 0xffff)
    for (const outbox of provided.outboxes()) {
      if (!members.has(outbox.peer) && !calls.isFree) continue
      const message = outbox.take(nowMs)
      if (message === undefined) continue
      scope.spawn('announce', () => this.#announce(outbox, { ...message, regionalSeconds }))
    }
  }

  /** Spreads the keys over the members that there are now. */
  #place(nowMs: number): void {
    const { members, mesh, regions, provided, owned } = this.#parts
    const wasRegional = this.#isRegional
    this.#isRegional = regions !== undefined && mesh.regionalMs(nowMs) > 0
    if (regions !== undefined && this.#isRegional) {
      regions.tick(nowMs)
      provided.setRegions(regions, members.all(), this.#arrived)
      this.#arrived.clear()
      return
    }
    const owners = members.owners()
    if (owners === this.#placedOver && !wasRegional) return
    // What was announced here is not renewed in a small swarm, and would go stale.
    if (isSmall(owners) && (wasRegional || !isSmall(this.#placedOver))) owned.clear()
    provided.setMembers(owners, this.#arrived)
    this.#placedOver = owners
    this.#arrived.clear()
  }

  async #announce(outbox: OwnerOutbox, message: AnnounceMessage): Promise<void> {
    const { clock, calls, provided } = this.#parts
    const reply = await calls.announce(outbox.peer, message)
    const nowMs = clock.monotonicMs()
    if (reply === undefined) outbox.failed(nowMs)
    else outbox.answered(reply, nowMs, () => provided.keysOf(outbox.peer))
  }
}
