import { parseSetting } from '../../config.ts'
import { encodeInvite } from '../../key/invite.ts'
import { addressKind } from '../../net/libp2p/addresses.ts'
import { systemClock } from '../../std/clock.ts'
import { type CommandContext, textOption } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { secondsText } from '../format.ts'
import { requireSwarm, runningAdmin } from './swarm-folder.ts'

const expiresMsDefault = 7 * 86_400_000
const expiresMsMax = 3_650 * 86_400_000
/** More would make the line unwieldy; a few members that are up are enough to find all others. */
const addressesMax = 8

/** Prints one line and nothing else on stdout, so that it can be piped. */
export async function invite(context: CommandContext): Promise<ExitCode> {
  const { data, terminal } = context
  const { name, secret, addresses: known } = requireSwarm(data)
  const expiresMs = expiresOf(context)
  const addresses = (await runningAddresses(context)) ?? known
  const invite = { name, secret, addresses: addresses.slice(0, addressesMax) }
  const expiresAt = expiresMs === undefined ? {} : { expiresAt: systemClock.now() + expiresMs }
  terminal.write(`${encodeInvite({ ...invite, ...expiresAt })}\n`)
  for (const line of notesOf(name, addresses, expiresMs)) terminal.writeError(`${line}\n`)
  return exitCodes.ok
}

function notesOf(
  name: string,
  addresses: readonly string[],
  expiresMs: number | undefined,
): readonly string[] {
  const until = expiresMs === undefined ? '' : ` within ${secondsText(expiresMs / 1_000)}`
  const secrecy = `Whoever has this line can join swarm '${name}'${until}: send it privately`
  if (addresses.length > 0) return [secrecy]
  return [
    secrecy,
    'It has no address: who joins finds members on the same local network only, or with ' +
      '`hyperspace up --peers ADDRESS`. Run it while the node is up to put addresses in',
  ]
}

/** Where this node and members it has dialled are; undefined while none runs in the swarm. */
async function runningAddresses({
  data,
  signal,
}: CommandContext): Promise<readonly string[] | undefined> {
  const report = await runningAdmin(data)?.swarm({ signal })
  if (report?.swarm === undefined) return undefined
  const { addresses, peers } = report.swarm
  const dialled = peers
    .filter(peer => peer.direction === 'outbound' && peer.address.includes('/p2p/'))
    .map(({ address }) => address)
  const all = [...new Set([...addresses, ...dialled])]
  const reaching = all.filter(address => addressKind(address) !== 'loopback')
  return reaching.length > 0 ? reaching : all
}

/** @throws UsageError */
function expiresOf(context: CommandContext): number | undefined {
  const text = textOption(context, 'expires')
  if (text === undefined) return expiresMsDefault
  if (text === 'never') return undefined
  const setting = { kind: 'duration', default: 0, max: expiresMsMax, help: '' } as const
  const parsed = parseSetting(setting, text)
  if ('value' in parsed && typeof parsed.value === 'number') return parsed.value
  const why = 'mistake' in parsed ? parsed.mistake : 'must be a duration'
  throw new UsageError(`--expires ${why} (or 'never')`)
}
