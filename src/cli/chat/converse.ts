import { createInterface, type Interface } from 'node:readline'
import { systemClock } from '../../std/clock.ts'
import { isAbort } from '../../std/signal.ts'
import type { CommandContext } from '../command.ts'
import { describeError, type ExitCode, exitCodes } from '../exit-code.ts'
import type { Terminal } from '../terminal.ts'
import { ask, type ChatSettings, type ChatTurn } from './ask.ts'
import { sourceLine } from './source-line.ts'

/** Turns of one conversation. The engine refuses what exceeds its context long before. */
const turnsMax = 10_000

/** Asks and answers until the person leaves: Ctrl-D, /bye, or Ctrl-C twice. */
export async function converse(context: CommandContext, settings: ChatSettings): Promise<ExitCode> {
  const { terminal } = context
  const prompt = createInterface({
    input: terminal.stdin,
    output: terminal.stderr,
    terminal: true,
    prompt: terminal.errorColors.green('> '),
  })
  terminal.writeError(
    terminal.errorColors.dim(
      `${settings.model}. Ctrl-C stops an answer, /new starts over, /bye leaves\n`,
    ),
  )
  const conversation = new Conversation(terminal, settings)
  const keys = new Keys(prompt, terminal, conversation)
  try {
    prompt.prompt()
    for await (const line of prompt) {
      keys.forgetLeaving()
      if (line.trim() === '/bye' || line.trim() === '/exit') break
      await conversation.take(line.trim())
      // The person may have left while the answer came.
      if (!keys.hasLeft) prompt.prompt()
    }
    return exitCodes.ok
  } finally {
    keys[Symbol.dispose]()
    prompt.close()
  }
}

/** Ctrl-C: during an answer it stops the answer; otherwise the second in a row leaves. */
class Keys implements Disposable {
  readonly #release: () => void
  #isLeaving = false
  hasLeft = false

  constructor(prompt: Interface, terminal: Terminal, conversation: Conversation) {
    const onInterrupt = (): void => {
      if (conversation.cancel()) return
      if (this.#isLeaving) {
        prompt.close()
        return
      }
      this.#isLeaving = true
      terminal.writeError(terminal.errorColors.dim('\n(Ctrl-C again to leave)\n'))
      prompt.prompt()
    }
    prompt.on('SIGINT', onInterrupt)
    prompt.on('close', () => {
      this.hasLeft = true
    })
    // While the terminal is in raw mode Ctrl-C is a key; `kill` is not.
    this.#release = terminal.onSignal(() => {
      conversation.cancel()
      prompt.close()
    })
  }

  forgetLeaving(): void {
    this.#isLeaving = false
  }

  [Symbol.dispose](): void {
    this.#release()
  }
}

class Conversation {
  readonly #terminal: Terminal
  readonly #settings: ChatSettings
  #turns: readonly ChatTurn[] = []
  #answering: AbortController | undefined

  constructor(terminal: Terminal, settings: ChatSettings) {
    this.#terminal = terminal
    this.#settings = settings
  }

  /** Whether there was an answer to stop. */
  cancel(): boolean {
    if (this.#answering === undefined) return false
    this.#answering.abort(new DOMException('Stopped', 'AbortError'))
    return true
  }

  /** A line that the person typed: a question, or a command. */
  async take(line: string): Promise<void> {
    if (line === '') return
    if (line === '/new') {
      this.#turns = []
      return this.#note('A new conversation')
    }
    if (line.startsWith('/')) return this.#note('There are /new and /bye')
    await this.#answer(line)
  }

  async #answer(question: string): Promise<void> {
    const { colors } = this.#terminal
    const turns: readonly ChatTurn[] = [...this.#turns, { role: 'user', content: question }]
    const answering = new AbortController()
    this.#answering = answering
    try {
      const { baseUrl } = this.#settings
      const answer = await ask(
        turns,
        { clock: systemClock, baseUrl },
        {
          ...this.#settings,
          signal: answering.signal,
          onText: (text, kind) => this.#terminal.write(kind === 'text' ? text : colors.dim(text)),
        },
      )
      this.#terminal.write('\n')
      this.#note(sourceLine(answer))
      const kept: ChatTurn = { role: 'assistant', content: answer.text }
      this.#turns = [...turns, kept].slice(-turnsMax)
    } catch (error) {
      // The question is forgotten with its answer: the next one starts from what was said before.
      this.#terminal.write('\n')
      if (isAbort(error)) this.#note('stopped')
      else
        this.#terminal.writeError(
          `${this.#terminal.errorColors.red('!')} ${describeError(error)}\n`,
        )
    } finally {
      this.#answering = undefined
    }
  }

  #note(text: string): void {
    this.#terminal.writeError(`${this.#terminal.errorColors.dim(text)}\n\n`)
  }
}
