import { parsePeerId } from '../../key/peer-id.ts'
import { writeSwarmState } from '../../swarm-state.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { requireSwarm, runningAdmin } from '../swarm/swarm-folder.ts'
import { peerNamed } from './peer-name.ts'

/** Remembered only once a running node has reached it: a typing mistake shows at once. */
export async function addPeer(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args, signal } = context
  const [address = ''] = args
  requireSwarm(data)
  checkAddress(address)
  const admin = runningAdmin(data)
  const report = await admin?.swarm({ signal })
  const isDialling = report?.swarm !== undefined
  const peer = isDialling ? await admin?.connectPeer(address, { signal }) : undefined
  const state = requireSwarm(data)
  writeSwarmState(data, { ...state, addresses: [...new Set([...state.addresses, address])] })
  if (isSwitchedOn(context, 'json')) writeJson(context, { address, peer: peer ?? null })
  else if (peer === undefined) terminal.write(`The node dials ${address} from its next start on\n`)
  else terminal.write(`Connected with ${peer}\n`)
  return exitCodes.ok
}

export async function banPeer(context: CommandContext): Promise<ExitCode> {
  return await setBanned(context, true)
}

export async function unbanPeer(context: CommandContext): Promise<ExitCode> {
  return await setBanned(context, false)
}

async function setBanned(context: CommandContext, isBanned: boolean): Promise<ExitCode> {
  const { data, terminal, args, signal } = context
  const [text = ''] = args
  const state = requireSwarm(data)
  const admin = runningAdmin(data)
  const connected = (await admin?.swarm({ signal }))?.swarm?.peers ?? []
  const peer = peerNamed(text, [...state.banned, ...connected.map(({ id }) => id)])
  if (admin === undefined) {
    const others = state.banned.filter(banned => banned !== peer)
    writeSwarmState(data, { ...state, banned: isBanned ? [...others, peer] : others })
  } else await admin.setPeerBanned(peer, isBanned, { signal })
  if (isSwitchedOn(context, 'json')) writeJson(context, { peer, isBanned })
  else terminal.write(`${isBanned ? 'Banned' : 'No longer banned:'} ${peer}\n`)
  return exitCodes.ok
}

/** The form only; whether somebody is there shows when it is dialled. @throws UsageError */
function checkAddress(address: string): void {
  const match = /^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d{1,5}(?:\/.*)?$/.exec(address)
  const peer = /\/p2p\/([^/]+)$/.exec(address)?.[1]
  if (match !== null && (peer === undefined || parsePeerId(peer) !== undefined)) return
  const example = '/ip4/192.168.1.7/tcp/11501/p2p/12D3KooW…'
  throw new UsageError(`'${address}' is no peer address. One looks like ${example}`)
}
