import { Command, CommanderError } from 'commander'
import { packageVersion } from '../package-info.ts'
import { addCacheCommands } from './cache/cache-commands.ts'
import type { AddCommand, CommandSpec } from './command.ts'
import { dataFolderOf } from './default-data.ts'
import { describeError, type ExitCode, exitCodeOf, exitCodes } from './exit-code.ts'
import { addModelCommands } from './models/model-commands.ts'
import { addNodeCommands } from './node/node-commands.ts'
import { addReceiptCommands } from './receipts/receipt-commands.ts'
import { addSettingCommands } from './settings/setting-commands.ts'
import { addSwarmCommands } from './swarm/swarm-commands.ts'
import type { Terminal } from './terminal.ts'

/**
 * Runs one command line and returns its exit code. Never throws: whatever goes wrong is told on
 * stderr.
 */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.ok
  const program = createProgram(terminal, async run => {
    exitCode = await run()
  })
  try {
    // Without a command commander takes its help for an error.
    await program.parseAsync(args.length === 0 ? ['--help'] : [...args], { from: 'user' })
    return exitCode
  } catch (error) {
    // Commander has told the person already; its own code for mistakes is 1.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    }
    terminal.writeError(`${terminal.errorColors.red('hyperspace:')} ${describeError(error)}\n`)
    return exitCodeOf(error)
  }
}

function createProgram(
  terminal: Terminal,
  execute: (run: () => Promise<ExitCode>) => Promise<void>,
): Command {
  const program = new Command('hyperspace')
    .description(
      'A peer-to-peer cache for LLM inference: point any OpenAI or Anthropic client at it',
    )
    .exitOverride()
    .configureOutput({
      writeOut: text => terminal.write(text),
      writeErr: text => terminal.writeError(text),
      getOutHelpWidth: () => terminal.columns,
      getErrHelpWidth: () => terminal.columns,
    })
    .configureHelp({ showGlobalOptions: false })
    .version(packageVersion(), '-V, --version', 'print the version')
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 failure, 2 usage, 3 no node runs, 4 network, 5 verification failed, ' +
        '130 interrupted',
    )
  const add: AddCommand = (parent, spec) => {
    const { isDefault = false } = spec
    const command = parent.command(spec.usage, { isDefault }).description(spec.summary)
    command.option('--data <dir>', 'data folder of the node (HYPERSPACE_DATA)')
    command.action(() => execute(() => runSpec(spec, command, terminal)))
    return command
  }
  addNodeCommands(program, add)
  addModelCommands(program, add)
  addCacheCommands(program, add)
  addSwarmCommands(program, add)
  addReceiptCommands(program, add)
  addSettingCommands(program, add)
  return program
}

async function runSpec(spec: CommandSpec, command: Command, terminal: Terminal): Promise<ExitCode> {
  const options = givenOptions(command)
  const data = dataFolderOf(options['data'], terminal.env)
  const controller = new AbortController()
  const release =
    spec.ownsSignals === true
      ? undefined
      : terminal.onSignal(() => {
          // Once: whoever presses Ctrl-C again means it, and Node's default ends the process.
          release?.()
          controller.abort(new DOMException('Interrupted', 'AbortError'))
        })
  try {
    const run = await spec.load()
    return await run({ terminal, data, args: command.args, options, signal: controller.signal })
  } finally {
    release?.()
  }
}

/** Commander sets defaults of its own (`--no-x` makes `x` true): those nobody gave are left out. */
function givenOptions(command: Command): { readonly [name: string]: unknown } {
  const given = Object.entries(command.opts())
  return Object.fromEntries(given.filter(([name]) => command.getOptionValueSource(name) === 'cli'))
}
