import { parseModelReference } from '../../engine/models/model-name.ts'
import { type PullStep, pullModel } from '../../engine/models/pull-model.ts'
import { OperationError } from '../../errors.ts'
import { systemClock } from '../../std/clock.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { bytesText, printable } from '../format.ts'
import { modelFolderOf } from './model-folder-of.ts'
import { ProgressLine } from './progress-line.ts'

const stepTexts: { readonly [step in PullStep]: string } = {
  resolving: 'Asking for the file',
  checking: 'Checking what is here already',
  downloading: 'Downloading',
  verifying: 'Verifying',
}

/** Fetches a model. Ctrl-C keeps what has arrived; the next pull goes on from there. */
export async function pull(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, args, signal } = context
  const reference = checkedReference(args[0] ?? '')
  const { digests } = modelFolderOf(data)
  const line = new ProgressLine(terminal)
  try {
    const model = await pullModel(
      reference,
      { clock: systemClock, digests },
      {
        dataDir: data,
        signal,
        endpoint: terminal.env['HF_ENDPOINT'],
        token: terminal.env['HF_TOKEN'],
        onStep: step => line.step(stepTexts[step]),
        onProgress: progress => line.progress(progress),
      },
    )
    line.clear()
    if (isSwitchedOn(context, 'json')) writeJson(context, model)
    else {
      const what = model.outcome === 'pulled' ? 'Pulled' : 'Already here:'
      const name = printable(model.name)
      terminal.write(`${what} ${name} (${bytesText(model.header.fileBytes)}), ${model.id}\n`)
      terminal.writeError(`Serve it with: hyperspace up --model ${name}\n`)
    }
    return exitCodes.ok
  } catch (error) {
    line.clear()
    if (signal.aborted) terminal.writeError('What has arrived is kept: pull again to go on\n')
    throw error
  }
}

/** @throws UsageError for what names no model */
function checkedReference(text: string): string {
  try {
    parseModelReference(text)
    return text
  } catch (error) {
    throw error instanceof OperationError ? new UsageError(error.message) : error
  }
}
