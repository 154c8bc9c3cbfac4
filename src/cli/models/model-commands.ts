import type { Command } from 'commander'
import type { AddCommand, RunCommand } from '../command.ts'

/** `models ls|pull|rm|show`, and `pull` at the top, where people look for it. */
export function addModelCommands(program: Command, add: AddCommand): void {
  const models = program.command('models').description('the models this node can run')
  add(models, {
    usage: 'ls',
    summary: 'list the models of the data folder, and those a running node serves',
    load: async () => (await import('./list-models.ts')).listModels,
  }).option('--json', 'print JSON')
  const loadPull = async (): Promise<RunCommand> => (await import('./pull.ts')).pull
  for (const parent of [models, program]) {
    add(parent, {
      usage: 'pull <model>',
      summary: 'fetch a model: hf:ORG/REPO[:QUANT], or the https address of a .gguf file',
      load: loadPull,
    }).option('--json', 'print JSON')
  }
  add(models, {
    usage: 'show <model>',
    summary: "a model's file, size, quantisation and id",
    load: async () => (await import('./show-model.ts')).showModel,
  }).option('--json', 'print JSON')
  add(models, {
    usage: 'rm <model>',
    summary: 'remove a pulled model from the disk',
    load: async () => (await import('./remove-model.ts')).removeModel,
  })
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
}
