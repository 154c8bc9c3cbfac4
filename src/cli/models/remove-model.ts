import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { confirmed } from '../confirmed.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, printable } from '../format.ts'
import { modelFolderOf } from './model-folder-of.ts'

export async function removeModel(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args } = context
  const { folder } = modelFolderOf(data)
  const model = await folder.find(args[0] ?? '')
  const name = printable(model.name)
  const question = `Remove ${name} (${bytesText(model.fileBytes)}) from the disk?`
  if (model.origin === 'folder' && !(await confirmed(context, question))) return exitCodes.failure
  const removed = await folder.remove(model.path)
  if (isSwitchedOn(context, 'json'))
    writeJson(context, { removed: removed.name, path: removed.path })
  else terminal.write(`Removed ${name}; ${bytesText(model.fileBytes)} are free again\n`)
  return exitCodes.ok
}
