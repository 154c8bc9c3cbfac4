import type { PeerStatus } from '../../client/node-status.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, printable, secondsText, table } from '../format.ts'
import { requireSwarmNode } from '../swarm/swarm-folder.ts'
import { companyText, roundTripText, shortPeer } from '../swarm/swarm-text.ts'

const head = ['PEER', 'ADDRESS', 'BY', 'RTT', 'SENT', 'RECEIVED', 'GAVE', 'GOT', 'REPUTATION']

/** Members that are connected, and what went to and fro. */
export async function listPeers(context: CommandContext): Promise<ExitCode> {
  const { terminal } = context
  const { swarm } = await requireSwarmNode(context)
  const { self, name, peers } = swarm
  if (isSwitchedOn(context, 'json')) writeJson(context, { self, swarm: name, peers })
  else if (peers.length === 0) terminal.writeError(`${sentence(companyText(swarm))}\n`)
  else terminal.write(table([head, ...peers.map(peerCells)], new Set([3, 4, 5, 6, 7])))
  return exitCodes.ok
}

function peerCells(peer: PeerStatus): readonly string[] {
  const by = peer.direction === 'inbound' ? 'them' : 'us'
  return [
    shortPeer(printable(peer.id)),
    printable(peer.address).replace(/\/p2p\/[^/]+$/, ''),
    peer.isRelayed ? `${by}, relayed` : by,
    roundTripText(peer),
    bytesText(peer.bytesSent),
    bytesText(peer.bytesReceived),
    countText(peer.servedAnswers),
    countText(peer.receivedAnswers),
    reputationText(peer),
  ]
}

function reputationText({ reputation, quarantineSeconds }: PeerStatus): string {
  if (quarantineSeconds === 0) return String(reputation)
  return `${reputation}, not asked for ${secondsText(quarantineSeconds)}`
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
