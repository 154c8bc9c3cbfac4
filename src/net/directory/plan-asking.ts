import type { FindOptions } from '../../interface/directory.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryAskedMax } from '../../limits.ts'
import { ownersPerKey } from './choose-owners.ts'
import type { AskPlan } from './lookups.ts'
import type { Members } from './members.ts'
import type { Regions } from './regions/regions.ts'

/** Everybody in a small swarm, the owners in a larger one. */
export function planAmongMembers(
  members: Members,
  key: LookupKey,
  { deadlineMs }: FindOptions,
): AskPlan {
  const peers = members.peersToAsk(key)
  return { peers, count: peers.length, timeoutMs: deadlineMs }
}

/** The nearest. Half the time is for those who are asked instead of such as do not answer. */
export async function planInRegion(
  regions: Regions | undefined,
  key: LookupKey,
  { signal, deadlineMs }: FindOptions,
): Promise<AskPlan | undefined> {
  const nearest = await regions?.nearest(key, signal)
  if (nearest === undefined) return undefined
  const peers = nearest.slice(0, directoryAskedMax)
  return { peers, count: Math.min(ownersPerKey, peers.length), timeoutMs: deadlineMs / 2 }
}
