import { configPath, type ResolvedConfig, resolveConfig } from '../../config.ts'
import { isSettingName, type SettingName, settings } from '../../config-table.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { readableSetting, table } from '../format.ts'
import { parseSettingName } from './setting-name.ts'

/** The settings as the next `up` without flags would have them. */
export async function configGet(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args } = context
  const wanted = args[0] === undefined ? undefined : parseSettingName(args[0])
  const resolved = resolveConfig({ data, flags: {}, env: terminal.env })
  const names = wanted === undefined ? Object.keys(settings).filter(isSettingName) : [wanted]
  const views = names.map(name => viewOf(name, resolved))
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, Object.fromEntries(views.map(({ name, ...view }) => [name, view])))
  } else if (wanted === undefined) {
    const rows = views.map(({ name, value, source }) => [
      name,
      readableSetting(settings[name], value),
      source,
    ])
    terminal.write(table([['SETTING', 'VALUE', 'FROM'], ...rows]))
  } else {
    for (const { value } of views) terminal.write(`${textOf(value)}\n`)
  }
  return exitCodes.ok
}

export async function printConfigPath({ data, terminal }: CommandContext): Promise<ExitCode> {
  terminal.write(`${configPath(data)}\n`)
  return exitCodes.ok
}

interface SettingView {
  readonly name: SettingName
  /** Secrets as `***`. */
  readonly value: unknown
  readonly source: string
}

function viewOf(name: SettingName, { config, sources }: ResolvedConfig): SettingView {
  const value = config[name]
  const isSecret = settings[name].secret === true
  const shown = isSecret && Array.isArray(value) ? value.map(() => '***') : value
  return { name, value: shown, source: sources[name] }
}

function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value)
}
