import { AdminClient } from '../../client/admin-client.ts'
import { findRunningNode } from '../../data-folder.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { plural } from '../format.ts'
import { requireNode } from '../running-node.ts'
import { folderChanges } from './folder-changes.ts'

/** A node that dies instead of stopping removes no lock, so that is looked for as well. */
const lookEveryMs = 1_000

/** Asks the node to drain and returns when its data folder is free again. */
export async function stop(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, signal } = context
  const node = requireNode(data)
  const client = new AdminClient(node)
  const { requestsRunning } = await client.status({ signal })
  await client.shutdown({ signal })
  if (requestsRunning > 0) {
    terminal.writeError(`Waiting for ${plural(requestsRunning, 'running request')}\n`)
  }
  for await (const _change of folderChanges(data, { signal, atLeastEveryMs: lookEveryMs })) {
    if (findRunningNode(data)?.pid !== node.pid) break
  }
  signal.throwIfAborted()
  if (isSwitchedOn(context, 'json')) writeJson(context, { stopped: true, pid: node.pid })
  else terminal.write(`Stopped the node on ${data} (pid ${node.pid})\n`)
  return exitCodes.ok
}
