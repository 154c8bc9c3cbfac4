import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, printable, table } from '../format.ts'
import { modelFolderOf } from './model-folder-of.ts'

/** What a model's file says of itself. Reads the whole file the first time, for its id. */
export async function showModel(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args, signal } = context
  const { folder } = modelFolderOf(data)
  const model = await folder.show(await folder.find(args[0] ?? ''), { signal })
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, model)
    return exitCodes.ok
  }
  const { header } = model
  terminal.write(
    table([
      ['Name', printable(model.name)],
      ['Aliases', model.aliases.map(printable).join(', ') || '-'],
      ['Id', model.id],
      ['File', model.path],
      ['Size', bytesText(model.fileBytes)],
      ['Title', printable(header.name ?? '-')],
      ['Architecture', printable(header.architecture)],
      ['Quantisation', header.quantization],
      ['Parameters', countText(header.parameterCount)],
      [
        'Context',
        header.contextTokens === undefined ? '-' : `${countText(header.contextTokens)} tokens`,
      ],
      ['Chat template', header.hasChatTemplate ? 'yes' : 'no'],
      ['Embeddings', header.pooling === undefined ? 'no' : `yes (${header.pooling})`],
      ['From', model.origin],
    ]),
  )
  return exitCodes.ok
}
