import { type Config, resolveConfig } from '../../config.ts'
import { isSettingName } from '../../config-table.ts'
import type { HyperspaceNode } from '../../node.ts'
import { type CommandContext, isSwitchedOn } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { plural } from '../format.ts'
import { startText } from './start-text.ts'

/**
 * Starts a node and stays until it has stopped. The first SIGTERM or SIGINT drains, the second
 * cuts, the third ends the process.
 */
export async function up(context: CommandContext): Promise<ExitCode> {
  const { terminal, data, options } = context
  const flags = Object.fromEntries(Object.entries(options).filter(([name]) => isSettingName(name)))
  const { config } = resolveConfig({ data, flags, env: terminal.env })
  // After the configuration: whoever mistypes a flag should not wait for the engine to load.
  const { createNode } = await import('../../node.ts')
  const node = createNode(config)
  const starting = new AbortController()
  const stopper = new Stopper(context, node, starting)
  const release = terminal.onSignal(() => stopper.next())
  try {
    await node.start({ signal: starting.signal })
    stopper.started()
    tell(context, node, config)
    await node.closed
    await stopper.finished()
    say(context, 'stopped', 'Stopped')
    return exitCodes.ok
  } catch (error) {
    if (!starting.signal.aborted) throw error
    say(context, 'stopped', 'Stopped before it was ready')
    return exitCodes.interrupted
  } finally {
    release()
  }
}

function tell(context: CommandContext, node: HyperspaceNode, config: Config): void {
  const { colors } = context.terminal
  const status = node.status()
  if (isSwitchedOn(context, 'json')) {
    context.terminal.write(`${JSON.stringify({ event: 'started', status })}\n`)
    return
  }
  const needsKey = config.apiKey.length > 0
  const hasDiscovered = config.discover && config.model.length + config.upstream.length === 0
  context.terminal.write(startText(status, { colors, needsKey, hasDiscovered }))
}

/** A line that is no data: for people on stderr, for programs one more event. */
function say(context: CommandContext, event: string, text: string): void {
  const { terminal } = context
  if (isSwitchedOn(context, 'json')) terminal.write(`${JSON.stringify({ event })}\n`)
  else terminal.writeError(`${text}\n`)
}

/** What each signal in turn does. */
class Stopper {
  readonly #context: CommandContext
  readonly #node: HyperspaceNode
  readonly #starting: AbortController
  #signalCount = 0
  #isStarted = false
  #stopping: Promise<void> | undefined

  constructor(context: CommandContext, node: HyperspaceNode, starting: AbortController) {
    this.#context = context
    this.#node = node
    this.#starting = starting
  }

  started(): void {
    this.#isStarted = true
    // A signal may have come between the last step of the start and here.
    if (this.#signalCount > 0) this.#drain()
  }

  next(): void {
    this.#signalCount += 1
    if (!this.#isStarted) {
      if (this.#signalCount > 1) this.#context.terminal.exitNow(exitCodes.interrupted)
      this.#starting.abort(new DOMException('Stopped while starting', 'AbortError'))
    } else if (this.#signalCount === 1) this.#drain()
    else if (this.#signalCount === 2) this.#cut()
    else this.#context.terminal.exitNow(exitCodes.failure)
  }

  /** Rejects when a part did not stop cleanly. */
  async finished(): Promise<void> {
    await this.#stopping
  }

  #drain(): void {
    const { requestsRunning } = this.#node.status()
    const running = plural(requestsRunning, 'running request')
    const rest = requestsRunning === 0 ? '' : `: finishing ${running} (again to stop at once)`
    say(this.#context, 'stopping', `Stopping${rest}`)
    this.#stopping = this.#node.stop()
    // Awaited in `finished`; until then a failure must not count as unhandled.
    this.#stopping.catch(() => undefined)
  }

  #cut(): void {
    say(this.#context, 'aborting', 'Stopping at once')
    this.#node.abort()
  }
}
