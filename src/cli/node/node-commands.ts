import type { Command } from 'commander'
import { isSettingName, settings } from '../../config-table.ts'
import type { AddCommand } from '../command.ts'
import { settingOptions } from '../setting-options.ts'

/** `up`, `stop`, `status`, `chat`, `doctor`, `logs`: the node itself. */
export function addNodeCommands(program: Command, add: AddCommand): void {
  const up = add(program, {
    usage: 'up',
    summary: 'start the node of a data folder',
    load: async () => (await import('./up.ts')).up,
    ownsSignals: true,
  })
  up.aliases(['start', 'serve']).option('--json', 'one JSON object per line')
  for (const name of Object.keys(settings)) {
    if (isSettingName(name)) for (const option of settingOptions(name)) up.addOption(option)
  }
  add(program, {
    usage: 'stop',
    summary: 'stop it, letting running requests finish',
    load: async () => (await import('./stop.ts')).stop,
  }).option('--json', 'print JSON')
  add(program, {
    usage: 'status',
    summary: 'what the running node does and has saved',
    load: async () => (await import('./status.ts')).status,
  }).option('--json', 'print JSON')
  add(program, {
    usage: 'chat [prompt...]',
    summary: 'ask the node something, or talk to it',
    load: async () => (await import('../chat/chat.ts')).chat,
    ownsSignals: true,
  })
    .option('-m, --model <name>', 'model to ask')
    .option('--sample <k>', 'which draw of a sampled answer (0 is the first)')
    .option('--no-cache', 'compute the answer anew')
    .option('--api-key <key>', 'API key, where the node needs one')
    .option('--json', 'print the answer and its source as JSON')
  add(program, {
    usage: 'doctor',
    summary: 'check everything a node needs, with remedies',
    load: async () => (await import('./doctor.ts')).doctor,
  }).option('--json', 'print JSON')
  add(program, {
    usage: 'logs',
    summary: 'show the log of the node',
    load: async () => (await import('./logs.ts')).logs,
  })
    .option('-f, --follow', 'go on as lines are written')
    .option('-n, --lines <n>', 'how many lines from the end', '50')
    .option('--json', 'the lines as they are in the file')
}
