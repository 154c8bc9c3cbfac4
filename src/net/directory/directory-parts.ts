import type { PeerDiscovery } from '../../interface/discovery.ts'
import type { Log } from '../../interface/log.ts'
import type { Network, PeerId } from '../../interface/network.ts'
import { membersMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { Announcer } from './announcer.ts'
import { Lookups } from './lookups.ts'
import { Members } from './members.ts'
import { OwnedRecords, type Refusal } from './owned-records.ts'
import { PeerCalls } from './peer-calls.ts'
import { planAmongMembers, planInRegion } from './plan-asking.ts'
import { ProvidedKeys } from './provided-keys.ts'
import { Mesh } from './regions/mesh.ts'
import { Regions } from './regions/regions.ts'

export interface DirectoryComponents {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  /** Names members that are not connected, and connects them. Without it all are taken to be. */
  readonly discovery?: Pick<PeerDiscovery, 'closestPeers' | 'reach'>
  /** What costs a peer reputation. */
  readonly onMisbehaviour?: (peer: PeerId, reason: Misbehaviour) => void
}

export type Misbehaviour = Refusal | 'message_invalid' | 'answer_invalid'

export interface DirectoryOptions {
  /** How often owners are told of what is new. @default 1_000 */
  readonly announceIntervalMs?: number
  /** Life of a provider's records after its last announcement. @default 1_800_000 */
  readonly leaseMs?: number
  /** Their life after the provider was disconnected. @default 30_000 */
  readonly graceMs?: number
  /** How long a key that nobody knew is taken for unknown. @default 1_000 */
  readonly negativeMs?: number
  /** How often it is looked whether there are members that are not connected. @default 300_000 */
  readonly surveyIntervalMs?: number
  /** How long what is known of a region is used before it is looked at again. @default 600_000 */
  readonly regionLifeMs?: number
  /** Members past which not all can be connected with all. @default membersMax */
  readonly membersMax?: number
}

/** What a directory is made of. */
export interface DirectoryParts {
  readonly options: Required<DirectoryOptions>
  readonly scope: TaskScope
  readonly members: Members
  readonly mesh: Mesh
  readonly regions: Regions | undefined
  readonly provided: ProvidedKeys
  readonly owned: OwnedRecords
  readonly calls: PeerCalls
  readonly announcer: Announcer
  readonly lookups: Lookups
}

export function createParts(
  components: DirectoryComponents,
  given: DirectoryOptions,
  onMisbehaviour: (peer: PeerId, reason: Misbehaviour) => void,
): DirectoryParts {
  const { network, clock, log, discovery } = components
  const options: Required<DirectoryOptions> = { ...defaults, ...given }
  const { self } = network
  const { announceIntervalMs: intervalMs, leaseMs, surveyIntervalMs } = options
  const scope = new TaskScope((task, error) => log.warn('directory task failed', { task, error }))
  const shared = { self, clock, log, scope }
  const members = new Members(self, options.membersMax)
  // Neighbours pass on what they are told when they renew their records: in half a lease.
  const regionalMs = 4 * leaseMs
  const mesh = new Mesh({ ...shared, members, discovery }, { surveyIntervalMs, regionalMs })
  const regions =
    discovery && new Regions({ ...shared, members, discovery }, { lifeMs: options.regionLifeMs })
  const provided = new ProvidedKeys(self, { intervalMs, renewAfterMs: leaseMs / 2 })
  const owned = new OwnedRecords(options)
  const calls = new PeerCalls({
    ...shared,
    network,
    members,
    discovery,
    isRegional: () => announcer.isRegional,
    onAnswerInvalid: peer => onMisbehaviour(peer, 'answer_invalid'),
    onUnreachable: peer => announcer.unreachable(peer),
  })
  const announcer = new Announcer({ ...shared, members, mesh, regions, provided, owned, calls })
  const lookups = new Lookups(
    {
      self,
      clock,
      providersHere: key => owned.providersOf(key),
      planFor: async (key, find) => {
        // Where no region is found, some members that are connected are better than nobody.
        const plan = announcer.isRegional ? await planInRegion(regions, key, find) : undefined
        return plan ?? planAmongMembers(members, key, find)
      },
      askPeer: (peer, keys, timeoutMs) => calls.find(peer, keys, timeoutMs),
      isNear: peer => !announcer.isRegional || members.has(peer),
      reach: peer => calls.reach(peer),
    },
    { signal: scope.signal, negativeMs: options.negativeMs },
  )
  const parts = { options, scope, members, mesh, regions, provided, owned, calls }
  return { ...parts, announcer, lookups }
}

const defaults: Required<DirectoryOptions> = {
  announceIntervalMs: 1_000,
  leaseMs: 1_800_000,
  graceMs: 30_000,
  negativeMs: 1_000,
  surveyIntervalMs: 300_000,
  regionLifeMs: 600_000,
  membersMax,
}
