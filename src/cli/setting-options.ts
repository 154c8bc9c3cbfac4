import { Option } from 'commander'
import { envNameOf, flagOf, type Setting, type SettingName, settings } from '../config-table.ts'
import { readableSetting } from './format.ts'

/** The flags of one setting, so that they cannot differ from its file key and environment name. */
export function settingOptions(name: SettingName): readonly Option[] {
  const setting = settings[name]
  const flag = flagOf(name)
  if (setting.kind === 'switch') {
    const on = new Option(flag, `${setting.help} (${envNameOf(name)})`)
    const off = new Option(
      `--no-${flag.slice(2)}`,
      `do not ${setting.help} (${envNameOf(name)}=false)`,
    )
    return [on.hideHelp(setting.default), off.hideHelp(!setting.default)]
  }
  const option = new Option(`${flag} <${placeholderOf(setting)}>`, helpOf(name, setting))
  if (setting.kind === 'list') {
    const collect = (value: string, before: unknown): readonly unknown[] =>
      Array.isArray(before) ? [...before, value] : [value]
    return [option.argParser(collect)]
  }
  return [option]
}

function placeholderOf(setting: Setting): string {
  if (setting.kind === 'choice') return setting.choices.join('|')
  return {
    text: 'value',
    list: 'value',
    switch: '',
    port: 'port',
    count: 'n',
    bytes: 'size',
    duration: 'time',
  }[setting.kind]
}

function helpOf(name: SettingName, setting: Setting): string {
  const shown = Array.isArray(setting.default)
    ? undefined
    : readableSetting(setting, setting.default)
  const facts = shown === undefined ? envNameOf(name) : `default ${shown}; ${envNameOf(name)}`
  return `${setting.help} (${facts})`
}
