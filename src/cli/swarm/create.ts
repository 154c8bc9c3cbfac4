import { isSwarmName } from '../../key/invite.ts'
import { swarmSecretBytes } from '../../key/scope.ts'
import { systemRandom } from '../../std/random.ts'
import { readSwarmState } from '../../swarm-state.ts'
import { type CommandContext, isSwitchedOn, textOption, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { enterSwarm, fingerprintOf, readableState } from './swarm-folder.ts'

/** Makes a swarm with this node as its first member. */
export async function create(context: CommandContext): Promise<ExitCode> {
  const { data, terminal } = context
  const isForced = isSwitchedOn(context, 'force')
  const before = isForced ? readableState(data) : readSwarmState(data)
  if (before !== undefined && !isForced) {
    throw new UsageError(
      `${data} is in swarm '${before.name}' already: leave it first, or say --force`,
    )
  }
  const secret = systemRandom.bytes(swarmSecretBytes)
  const fingerprint = fingerprintOf(secret)
  const name = nameOf(context) ?? `swarm-${fingerprint.slice(0, 4)}`
  const admin = await enterSwarm(context, { name, secret, addresses: [], banned: [] }, before)
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, { name, fingerprint, isRunning: admin !== undefined })
    return exitCodes.ok
  }
  terminal.write(`Created swarm '${name}' (fingerprint ${fingerprint})\n`)
  const first = admin === undefined ? 'Start the node with `hyperspace up`, then invite' : 'Invite'
  terminal.writeError(`${first} others with \`hyperspace swarm invite\`\n`)
  return exitCodes.ok
}

/** @throws UsageError */
function nameOf(context: CommandContext): string | undefined {
  const name = textOption(context, 'name')
  if (name === undefined || isSwarmName(name)) return name
  throw new UsageError('--name takes up to 64 letters, digits, spaces, dots, - and _')
}
