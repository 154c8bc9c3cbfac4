import type { AdminClient } from '../../client/admin-client.ts'
import { OperationError } from '../../errors.ts'
import { type CommandContext, countOption, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { requireSwarmNode } from '../swarm/swarm-folder.ts'
import { roundTripText, shortPeer } from '../swarm/swarm-text.ts'
import { peerNamed } from './peer-name.ts'

const countMax = 1_000

/** One round trip after the other. Exit code 4 when none was answered. */
export async function ping(context: CommandContext): Promise<ExitCode> {
  const { terminal, args, signal } = context
  const [text = ''] = args
  const count = countOption(context, 'count', { fallback: 4, max: countMax })
  const { admin, swarm } = await requireSwarmNode(context)
  const known = swarm.peers.map(({ id }) => id)
  const peer = peerNamed(text, known)
  const isJson = isSwitchedOn(context, 'json')
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const outcome = await pingOnce(admin, peer, signal)
    if (outcome.roundTripMs !== undefined) times.push(outcome.roundTripMs)
    if (!isJson) terminal.write(`${shortPeer(peer)}: ${outcome.text}\n`)
  }
  if (isJson) writeJson(context, { peer, sent: count, roundTripMs: times })
  else terminal.write(summaryOf(times, count))
  return times.length > 0 || count === 0 ? exitCodes.ok : exitCodes.network
}

async function pingOnce(
  admin: AdminClient,
  peer: string,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly roundTripMs?: number }> {
  try {
    const roundTripMs = await admin.pingPeer(peer, { signal })
    return { text: roundTripText({ roundTripMs }), roundTripMs }
  } catch (error) {
    const isOfPeer = error instanceof OperationError && error.code.startsWith('peer_')
    if (!isOfPeer) throw error
    return { text: error.message }
  }
}

function summaryOf(times: readonly number[], sent: number): string {
  const sorted = times.toSorted((a, b) => a - b)
  const [fastest] = sorted
  const slowest = sorted.at(-1)
  if (fastest === undefined || slowest === undefined) return `0 of ${sent} answered\n`
  const mean = times.reduce((sum, ms) => sum + ms, 0) / times.length
  const [min, avg, max] = [fastest, mean, slowest].map(roundTripMs => {
    return roundTripText({ roundTripMs })
  })
  return `${times.length} of ${sent} answered; least ${min}, mean ${avg}, most ${max}\n`
}
