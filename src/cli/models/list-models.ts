import { AdminClient } from '../../client/admin-client.ts'
import type { ModelStatus } from '../../client/node-status.ts'
import { findRunningNode } from '../../data-folder.ts'
import type { KnownModel } from '../../engine/models/model-folder.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, printable, table } from '../format.ts'
import { modelFolderOf } from './model-folder-of.ts'

interface ModelView {
  readonly name: string
  readonly aliases: readonly string[]
  readonly origin: string
  readonly bytes: number | null
  /** Absent for models of upstreams. */
  readonly path?: string
  readonly isServed: boolean
}

/** The models on this disk, and those that a running node serves beside them. */
export async function listModels(context: CommandContext): Promise<ExitCode> {
  const { data, terminal } = context
  const known = await modelFolderOf(data).folder.list()
  const served = await servedModels(context)
  const views = mergeModels(known, served)
  if (isSwitchedOn(context, 'json')) writeJson(context, { models: views })
  else {
    const rows = views.map(view => [
      printable(view.name),
      view.bytes === null ? '-' : bytesText(view.bytes),
      printable(view.origin),
      view.isServed ? 'served' : '',
      view.aliases.map(printable).join(', '),
    ])
    terminal.write(table([['NAME', 'SIZE', 'FROM', 'NOW', 'ALIASES'], ...rows], new Set([1])))
  }
  return exitCodes.ok
}

async function servedModels({ data, signal }: CommandContext): Promise<readonly ModelStatus[]> {
  const node = findRunningNode(data)
  return node === undefined ? [] : (await new AdminClient(node).status({ signal })).models
}

function mergeModels(
  known: readonly KnownModel[],
  served: readonly ModelStatus[],
): readonly ModelView[] {
  const servedNames = new Set(served.map(({ name }) => name))
  const knownNames = new Set(known.map(({ name }) => name))
  const onDisk = known.map(({ name, aliases, origin, fileBytes, path }) => {
    return { name, aliases, origin, bytes: fileBytes, path, isServed: servedNames.has(name) }
  })
  const others = served.filter(({ name }) => !knownNames.has(name))
  return [
    ...onDisk,
    ...others.map(({ name, aliases, origin, bytes }) => {
      return { name, aliases, origin, bytes, isServed: true }
    }),
  ]
}
