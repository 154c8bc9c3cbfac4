import { parseLookupKey } from '../../key/response-key.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { printable } from '../format.ts'
import { requireSwarmNode } from '../swarm/swarm-folder.ts'

/** Who says that they hold an answer: a soft statement, only asking them shows. */
export async function find(context: CommandContext): Promise<ExitCode> {
  const { terminal, args, signal } = context
  const [text = ''] = args
  const key = parseLookupKey(text.toLowerCase())
  if (key === undefined) {
    throw new UsageError(`'${text}' is no key: 64 hex digits, as in x-hyperspace-key`)
  }
  const { admin } = await requireSwarmNode(context)
  const holders = await admin.findHolders(key, { signal })
  if (isSwitchedOn(context, 'json')) writeJson(context, { key, holders })
  else if (holders.length === 0) terminal.writeError('No other member says that it has it\n')
  else terminal.write(holders.map(holder => `${printable(holder)}\n`).join(''))
  return holders.length > 0 ? exitCodes.ok : exitCodes.failure
}
