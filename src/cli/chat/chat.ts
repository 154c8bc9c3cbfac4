import { text as readAll } from 'node:stream/consumers'
import { AdminClient } from '../../client/admin-client.ts'
import type { NodeStatus } from '../../client/node-status.ts'
import { resolveConfig } from '../../config.ts'
import { modelNotFound } from '../../errors.ts'
import { sampleMax } from '../../limits.ts'
import { systemClock } from '../../std/clock.ts'
import {
  type CommandContext,
  countOption,
  isSwitchedOn,
  textOption,
  writeJson,
} from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { requireNode } from '../running-node.ts'
import { type Answer, ask, type ChatSettings } from './ask.ts'
import { converse } from './converse.ts'
import { sourceLine } from './source-line.ts'

/**
 * Answers the prompt of the command line or of stdin; without either, on a terminal, talks until
 * the person leaves.
 */
export async function chat(context: CommandContext): Promise<ExitCode> {
  const { terminal, args, data } = context
  const node = requireNode(data)
  const prompt =
    args.length > 0 || !terminal.isPiped ? args.join(' ') : await readAll(terminal.stdin)
  const status = await new AdminClient(node).status({ signal: context.signal })
  const settings = settingsOf(context, status)
  if (prompt.trim() !== '') return await answerOnce(context, settings, prompt)
  if (terminal.isInteractive) return await converse(context, settings)
  throw new UsageError('There is no question: give it as an argument or on stdin')
}

function settingsOf(context: CommandContext, status: NodeStatus): ChatSettings {
  const { terminal, data, options } = context
  const wanted = textOption(context, 'model')
  const model = wanted ?? status.models.find(model => model.chat)?.name
  if (model === undefined) throw modelNotFound('(any)', [])
  const { config } = resolveConfig({ data, flags: {}, env: terminal.env })
  return {
    baseUrl: status.urls.openai,
    model,
    sample: countOption(context, 'sample', { fallback: 0, max: sampleMax }),
    isCached: options['cache'] !== false,
    apiKey: textOption(context, 'apiKey') ?? config.apiKey[0],
  }
}

async function answerOnce(
  context: CommandContext,
  settings: ChatSettings,
  prompt: string,
): Promise<ExitCode> {
  const { terminal } = context
  const isJson = isSwitchedOn(context, 'json')
  const controller = new AbortController()
  const release = terminal.onSignal(() => {
    controller.abort(new DOMException('Interrupted', 'AbortError'))
  })
  try {
    const answer = await ask(
      [{ role: 'user', content: prompt }],
      { clock: systemClock, baseUrl: settings.baseUrl },
      {
        ...settings,
        signal: controller.signal,
        onText: (text, kind) => {
          if (isJson) return
          if (kind === 'text') terminal.write(text)
          else terminal.writeError(terminal.errorColors.dim(text))
        },
      },
    )
    report(context, settings.model, answer)
    return exitCodes.ok
  } finally {
    release()
  }
}

function report(context: CommandContext, model: string, answer: Answer): void {
  const { terminal } = context
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, { model, ...answer })
    return
  }
  terminal.write('\n')
  terminal.writeError(`${terminal.errorColors.dim(sourceLine(answer))}\n`)
}
