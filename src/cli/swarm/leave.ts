import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { removeSwarmState } from '../../swarm-state.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { followNow, requireSwarm } from './swarm-folder.ts'

/** Works on a damaged swarm.json, too: leaving is its remedy. */
export async function leave(context: CommandContext): Promise<ExitCode> {
  const { data, terminal } = context
  if (!existsSync(join(data, 'swarm.json'))) requireSwarm(data)
  removeSwarmState(data)
  await followNow(context)
  if (isSwitchedOn(context, 'json')) writeJson(context, { left: true })
  else {
    terminal.write('Left the swarm: nothing is shared any more\n')
    terminal.writeError(
      'What the swarm shared stays on the disk until it expires, and is found again after ' +
        'joining it again\n',
    )
  }
  return exitCodes.ok
}
