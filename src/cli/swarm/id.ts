import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { identityOf } from './swarm-folder.ts'

export async function id(context: CommandContext): Promise<ExitCode> {
  const { peerId, publicKey } = identityOf(context.data)
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, { peerId, publicKey: Buffer.from(publicKey).toString('hex') })
  } else context.terminal.write(`${peerId}\n`)
  return exitCodes.ok
}
