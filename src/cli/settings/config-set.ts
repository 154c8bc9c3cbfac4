import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { configPath, parseSetting, readConfigFile, resolveConfig } from '../../config.ts'
import {
  flagOf,
  isSettingName,
  type Setting,
  type SettingName,
  settings,
} from '../../config-table.ts'
import { OperationError } from '../../errors.ts'
import type { CommandContext } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { parseSettingName } from './setting-name.ts'

/** Writes one setting into the folder's config file. */
export async function configSet(context: CommandContext): Promise<ExitCode> {
  const [given = '', ...values] = context.args
  const name = parseSettingName(given)
  const value = valueToKeep(name, values)
  const before = readExisting(context.data)
  await writeConfig(context.data, { ...before, [name]: value })
  const shown = settings[name].secret === true ? '***' : values.join(' ')
  context.terminal.write(`${name} = ${shown}\n`)
  warnIfUnusable(context)
  return exitCodes.ok
}

export async function configUnset(context: CommandContext): Promise<ExitCode> {
  const name = parseSettingName(context.args[0] ?? '')
  const before = Object.entries(readExisting(context.data))
  const kept = Object.fromEntries(before.filter(([other]) => other !== name))
  await writeConfig(context.data, kept)
  context.terminal.write(`${name} is no longer in ${configPath(context.data)}\n`)
  return exitCodes.ok
}

/**
 * What goes into the file: numbers and switches as such, sizes and durations as the person wrote
 * them.
 * @throws UsageError for a value that the setting does not take
 */
function valueToKeep(name: SettingName, values: readonly string[]): unknown {
  const setting: Setting = settings[name]
  if (setting.kind !== 'list' && values.length !== 1) {
    throw new UsageError(`${flagOf(name)} takes one value, not ${values.length}`)
  }
  const given = setting.kind === 'list' && values.length > 1 ? values : values[0]
  const parsed = parseSetting(setting, given)
  if ('mistake' in parsed) throw new UsageError(`${name}: ${parsed.mistake}`)
  const isReadable = setting.kind === 'bytes' || setting.kind === 'duration'
  return isReadable ? given : parsed.value
}

/**
 * The file's known settings. @throws config_invalid when it is damaged, rather than overwriting it
 */
function readExisting(data: string): { readonly [name: string]: unknown } {
  const path = configPath(data)
  const mistakes: string[] = []
  const file = readConfigFile(path, mistakes)
  // Unknown names are kept and told by the check afterwards; a file that could not be read must not
  // be lost.
  const isLost = mistakes.length > 0 && Object.keys(file).every(name => isSettingName(name))
  if (isLost) throw new OperationError('config_invalid', mistakes.join('\n'), { origin: 'client' })
  return file
}

/** Whole or not at all, and readable by its owner only: it may hold keys. */
async function writeConfig(
  data: string,
  file: { readonly [name: string]: unknown },
): Promise<void> {
  const path = configPath(data)
  const draft = `${path}.${process.pid}.new`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(draft, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    const why = error instanceof Error ? error.message : String(error)
    throw new OperationError('data_folder_unusable', `Cannot write ${path}: ${why}`, {
      origin: 'store',
      cause: error,
    })
  }
}

/**
 * A value may be right by itself and wrong beside the others: the person should know before the
 * next start.
 */
function warnIfUnusable({ data, terminal }: CommandContext): void {
  try {
    resolveConfig({ data, flags: {}, env: terminal.env })
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    terminal.writeError(`${terminal.errorColors.yellow('!')} ${error.message}\n`)
  }
}
