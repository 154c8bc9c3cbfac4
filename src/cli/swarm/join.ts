import type { Readable } from 'node:stream'
import type { AdminClient } from '../../client/admin-client.ts'
import { OperationError } from '../../errors.ts'
import { decodeInvite, type Invite } from '../../key/invite.ts'
import { systemClock } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import { readSwarmState, type SwarmState } from '../../swarm-state.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { enterSwarm, fingerprintOf, readableState } from './swarm-folder.ts'

/** Longest text read for an invite: twice what one can have. */
const inviteBytesMax = 16_384
/** How long a person waits for the first member to answer; the node goes on trying. */
const connectTimeoutMs = 8_000

/** Joins a swarm: at once where a node runs, otherwise from its next start on. */
export async function join(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args } = context
  const [text = '-'] = args
  const line = text === '-' ? await readLine(terminal.stdin) : text
  const invite = decodeInvite(line, systemClock.now())
  const known = memberOf(context, invite)
  const before = readableState(data)
  const admin = await enterSwarm(context, stateAfter(invite, known), before)
  const met = admin === undefined ? undefined : await meet(context, admin, invite)
  const fingerprint = fingerprintOf(invite.secret)
  if (isSwitchedOn(context, 'json')) {
    const isRunning = admin !== undefined
    writeJson(context, { name: invite.name, fingerprint, isRunning, peer: met?.peer ?? null })
    return exitCodes.ok
  }
  terminal.write(`Joined swarm '${invite.name}' (fingerprint ${fingerprint})\n`)
  if (met === undefined) terminal.writeError('Start the node with `hyperspace up`\n')
  else if (met.peer === undefined) terminal.writeError(`${met.why}\n`)
  else terminal.write(`Connected with ${met.peer}\n`)
  return exitCodes.ok
}

/** The first line with something on it: who pastes it need not end the input. */
async function readLine(input: Readable): Promise<string> {
  let text = ''
  for await (const chunk of input) {
    text = `${text}${chunk}`.trimStart()
    if (text.includes('\n') || text.length > inviteBytesMax) break
  }
  return text
}

/** What the folder knows of the swarm of the invite. @throws UsageError if it is in another one */
function memberOf(context: CommandContext, invite: Invite): SwarmState | undefined {
  let state: SwarmState | undefined
  try {
    state = readSwarmState(context.data)
  } catch (error) {
    if (isSwitchedOn(context, 'force')) return undefined
    throw error
  }
  if (state === undefined || Buffer.from(state.secret).equals(invite.secret)) return state
  if (isSwitchedOn(context, 'force')) return undefined
  throw new UsageError(
    `${context.data} is in swarm '${state.name}'. To leave it for '${invite.name}', say --force`,
  )
}

/** Joining again adds what addresses are new and keeps who was banned. */
function stateAfter(invite: Invite, before: SwarmState | undefined): SwarmState {
  const { name, secret, addresses } = invite
  const known = before?.addresses ?? []
  return {
    name,
    secret,
    addresses: [...new Set([...addresses, ...known])],
    banned: before?.banned ?? [],
  }
}

type Meeting =
  | { readonly peer: string; readonly why?: undefined }
  | { readonly peer: undefined; readonly why: string }

/** Tries all addresses at once: the first that answers is enough. */
async function meet(
  { signal }: CommandContext,
  admin: AdminClient,
  { addresses, name }: Invite,
): Promise<Meeting> {
  if (addresses.length === 0) {
    return { peer: undefined, why: 'The invite has no address: members are looked for on the LAN' }
  }
  const linked = linkSignal(systemClock, [signal], connectTimeoutMs)
  const options = { signal: linked.signal }
  try {
    return { peer: await Promise.any(addresses.map(one => admin.connectPeer(one, options))) }
  } catch (error) {
    signal.throwIfAborted()
    return { peer: undefined, why: whyNobody(error, name) }
  } finally {
    linked[Symbol.dispose]()
  }
}

function whyNobody(error: unknown, name: string): string {
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error]
  const isRefused = errors.some(
    one => one instanceof OperationError && one.code === 'swarm_refused',
  )
  return isRefused
    ? `The nodes at the addresses of the invite are not in this swarm '${name}': it may be of a ` +
        'swarm that was made anew. Ask for a new invite'
    : 'No member answers at the addresses of the invite now. The node goes on trying; ' +
        '`hyperspace doctor` explains'
}
