import type { EntryFound } from '../../client/admin-client.ts'
import type { Choice, Completion } from '../../interface/generation.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, secondsText, table } from '../format.ts'
import { readCache } from './cache-access.ts'
import { noEntry, wholeKey } from './entry-key.ts'

export async function cacheGet(context: CommandContext): Promise<ExitCode> {
  const { terminal, signal, args } = context
  const [text = ''] = args
  const found = await readCache(context, async cache => {
    return await cache.cacheEntry(await wholeKey(text, cache, { signal }), { signal })
  })
  if (found === undefined) throw noEntry(text)
  if (isSwitchedOn(context, 'json')) writeJson(context, found)
  else terminal.write(entryText(found))
  return exitCodes.ok
}

const sealedText =
  'The answer is sealed: give its response key to read it. Replies have it in x-hyperspace-key, ' +
  'and `hyperspace cache explain` computes it\n'

function entryText({ view, completion }: EntryFound): string {
  const facts = [
    ['Look-up key', view.lookupKey],
    ['Size', bytesText(view.bytes)],
    ['Cost', secondsText(view.costSeconds)],
    ['Created', view.createdAt],
    ['Expires', view.expiresAt],
    ...(completion === undefined ? [] : completionFacts(completion)),
  ]
  const answer =
    completion === undefined ? sealedText : completion.choices.map(choiceText).join('\n')
  return `${table(facts)}\n${answer}`
}

function completionFacts({ modelId, usage }: Completion): readonly (readonly string[])[] {
  const { promptTokens, completionTokens } = usage
  return [
    ['Model', modelId],
    ['Tokens', `${countText(promptTokens)} in, ${countText(completionTokens)} out`],
  ]
}

function choiceText({ parts, finish }: Choice): string {
  const lines = parts.map(part => {
    if (part.type === 'tool-call') return `[calls ${part.name}(${part.arguments})]\n`
    return part.type === 'text' ? `${part.text}\n` : `[${part.type}] ${part.text}\n`
  })
  return finish === 'stop' ? lines.join('') : `${lines.join('')}[ended: ${finish}]\n`
}
