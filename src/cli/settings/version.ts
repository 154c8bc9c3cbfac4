import { packageVersion } from '../../package-info.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'

export async function version(context: CommandContext): Promise<ExitCode> {
  const facts = {
    version: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  }
  if (isSwitchedOn(context, 'json')) writeJson(context, { name: 'hyperspace', ...facts })
  else {
    const { version, node, platform } = facts
    context.terminal.write(`hyperspace ${version} (Node.js ${node}, ${platform})\n`)
  }
  return exitCodes.ok
}
