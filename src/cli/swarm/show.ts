import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { SwarmStatus } from '../../client/node-status.ts'
import type { SwarmState } from '../../swarm-state.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { countText, plural, table } from '../format.ts'
import { fingerprintOf, identityOf, requireSwarm, runningAdmin } from './swarm-folder.ts'
import { reachabilityText } from './swarm-text.ts'

/** The swarm of the folder, and what the running node sees of it. Never its secret. */
export async function show(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, signal } = context
  const state = requireSwarm(data)
  const report = await runningAdmin(data)?.swarm({ signal })
  const self = existsSync(join(data, 'node.key')) ? identityOf(data).peerId : undefined
  if (isSwitchedOn(context, 'json')) {
    const { name, addresses, banned } = state
    const fingerprint = fingerprintOf(state.secret)
    const running = report?.swarm ?? null
    writeJson(context, { name, fingerprint, self: self ?? null, addresses, banned, running })
  } else terminal.write(table([...folderRows(state, self), ...runningRows(report)]))
  return exitCodes.ok
}

function folderRows(state: SwarmState, self: string | undefined): readonly (readonly string[])[] {
  return [
    ['Swarm', state.name],
    ['Fingerprint', fingerprintOf(state.secret)],
    ['Peer id', self ?? 'none yet: made at the first start'],
    ...state.addresses.map((address, index) => [index === 0 ? 'Dials' : '', address]),
    ...state.banned.map((peer, index) => [index === 0 ? 'Banned' : '', peer]),
  ]
}

function runningRows(
  report: { readonly swarm?: SwarmStatus } | undefined,
): readonly (readonly string[])[] {
  if (report === undefined) return [['Node', 'does not run']]
  const { swarm } = report
  if (swarm === undefined) return [['Node', 'outside the swarm: --offline, or it could not join']]
  const { directory } = swarm
  return [
    ...swarm.addresses.map((address, index) => [index === 0 ? 'Peers at' : '', address]),
    ['Reach', reachabilityText(swarm)],
    ['Members', `${plural(directory.members, 'member')} known, this one included`],
    ['Peers', `${plural(swarm.peers.length, 'peer')} connected: hyperspace peers`],
    ['Shared', `${plural(swarm.sharedAnswers, 'answer')} offered`],
    ['Directory', `${countText(directory.owned)} records kept for others`],
  ]
}
