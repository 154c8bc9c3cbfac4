import type { Command } from 'commander'
import type { AddCommand } from '../command.ts'

/** `env`, `config get|set|unset|path` and `version`. */
export function addSettingCommands(program: Command, add: AddCommand): void {
  add(program, {
    usage: 'env',
    summary: 'print what points clients at this node: eval "$(hyperspace env)"',
    load: async () => (await import('./env.ts')).env,
  }).option('--json', 'print JSON')
  const config = program.command('config').description('read and write the settings of the folder')
  add(config, {
    usage: 'get [name]',
    summary: 'one setting, or all with where they come from',
    load: async () => (await import('./config-get.ts')).configGet,
  }).option('--json', 'print JSON')
  add(config, {
    usage: 'set <name> <value...>',
    summary: 'write a setting into the config file; a running node reads it at its next start',
    load: async () => (await import('./config-set.ts')).configSet,
  })
  add(config, {
    usage: 'unset <name>',
    summary: 'remove a setting from the config file',
    load: async () => (await import('./config-set.ts')).configUnset,
  })
  add(config, {
    usage: 'path',
    summary: 'where the config file is',
    load: async () => (await import('./config-get.ts')).printConfigPath,
  })
  add(program, {
    usage: 'version',
    summary: 'versions of Hyperspace and of what it runs on',
    load: async () => (await import('./version.ts')).version,
  }).option('--json', 'print JSON')
}
