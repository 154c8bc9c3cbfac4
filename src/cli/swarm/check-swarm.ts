import type { SwarmStatus } from '../../client/node-status.ts'
import type { Config } from '../../config.ts'
import { readSwarmState, type SwarmState } from '../../swarm-state.ts'
import type { CommandContext } from '../command.ts'
import { describeError } from '../exit-code.ts'
import { listenFailure } from '../node/check-folder.ts'
import type { Finding } from '../node/finding.ts'
import { judgeReach } from './judge-reach.ts'
import { answeringAddresses } from './probe-addresses.ts'
import { runningAdmin } from './swarm-folder.ts'
import { companyText } from './swarm-text.ts'

/** Which swarm, and whether anybody is there. */
export async function checkSwarm(context: CommandContext, config: Config): Promise<Finding> {
  const name = 'Swarm'
  const { data, signal } = context
  let state: SwarmState | undefined
  try {
    state = readSwarmState(data)
  } catch (error) {
    const remedy = 'restore swarm.json, or `hyperspace swarm leave` and join again'
    return { name, isOk: false, detail: describeError(error), remedy }
  }
  if (state === undefined) return { name, isOk: true, detail: 'in none: nothing is shared' }
  const report = await runningAdmin(data)?.swarm({ signal })
  if (report === undefined) return { name, isOk: true, detail: `'${state.name}', no node runs` }
  if (report.swarm === undefined) {
    const detail = `'${state.name}', but the node runs outside it`
    return { name, isOk: true, detail, remedy: 'start it without --offline to share answers' }
  }
  const known = new Set([...state.addresses, ...config.peers])
  return judgeCompany(report.swarm, { knownCount: known.size, mdns: config.mdns })
}

/** Being alone is normal for the first member, and a fault where others are known. Pure. */
export function judgeCompany(
  swarm: SwarmStatus,
  { knownCount, mdns }: { readonly knownCount: number; readonly mdns: boolean },
): Finding {
  const name = 'Swarm'
  const detail = companyText(swarm)
  if (swarm.peers.length > 0) return { name, isOk: true, detail }
  if (knownCount > 0) {
    const remedy =
      'check that those members run; `hyperspace peers add ADDRESS` says why one cannot be ' +
      'reached, and a new invite (`hyperspace swarm invite` on another member) has their addresses'
    const known = `${knownCount} known ${knownCount === 1 ? 'address' : 'addresses'}`
    return { name, isOk: false, detail: `${detail}; none of ${known} answers`, remedy }
  }
  const where = mdns ? 'members on this network find each other; others' : 'without mDNS members'
  const remedy = `${where} need an address: \`hyperspace swarm invite\`, \`hyperspace peers add\``
  return { name, isOk: true, detail, remedy }
}

/** Whether others can connect to this node, and what is in their way. */
export async function checkReach(
  { data, signal }: CommandContext,
  { p2pHost, p2pPort }: Config,
): Promise<Finding> {
  const name = 'Peer port'
  // A damaged file is the finding of the check before.
  if (!hasSwarm(data)) return { name, isOk: true, detail: 'not needed: in no swarm' }
  const admin = runningAdmin(data)
  if (admin === undefined) {
    const failure = await listenFailure(p2pHost, p2pPort)
    if (failure === undefined) return { name, isOk: true, detail: `${p2pPort} is free` }
    const detail = `${p2pHost}:${p2pPort}: ${failure.message}`
    const remedy = 'choose another with --p2p-port PORT, or stop the program that has it'
    return { name, isOk: false, detail, remedy }
  }
  const { swarm } = await admin.swarm({ signal })
  if (swarm === undefined) return { name, isOk: true, detail: 'not listening: outside the swarm' }
  const answering = await answeringAddresses(swarm.addresses, { signal })
  return { name, ...judgeReach(swarm, answering) }
}

function hasSwarm(data: string): boolean {
  try {
    return readSwarmState(data) !== undefined
  } catch {
    return false
  }
}
