import { confirm } from '@clack/prompts'
import { type CommandContext, isSwitchedOn } from './command.ts'
import { UsageError } from './exit-code.ts'

/**
 * Whether the person wants what cannot be undone: `--yes`, or an answer on the terminal.
 * @throws UsageError where nobody can be asked
 */
export async function confirmed(context: CommandContext, question: string): Promise<boolean> {
  const { terminal, signal } = context
  if (isSwitchedOn(context, 'yes')) return true
  if (!terminal.isInteractive) throw new UsageError(`${question} Say so with --yes`)
  const answer = await confirm({
    message: question,
    initialValue: false,
    input: terminal.stdin,
    output: terminal.stderr,
    signal,
  })
  return answer === true
}
