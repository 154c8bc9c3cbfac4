import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { confirmed } from '../confirmed.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { changeCache } from './cache-access.ts'
import { noEntry, wholeKey } from './entry-key.ts'

export async function cacheRemove(context: CommandContext): Promise<ExitCode> {
  const { terminal, signal, args } = context
  const [text = ''] = args
  const removed = await changeCache(context, async cache => {
    const key = await wholeKey(text, cache, { signal })
    return (await cache.removeCacheEntry(key, { signal })) ? key : undefined
  })
  if (removed === undefined) throw noEntry(text)
  if (isSwitchedOn(context, 'json')) writeJson(context, { removed })
  else terminal.write(`Removed ${removed}\n`)
  return exitCodes.ok
}

export async function cacheClear(context: CommandContext): Promise<ExitCode> {
  const { terminal, signal, data } = context
  if (!(await confirmed(context, `Remove all stored answers and KV state of ${data}?`)))
    return exitCodes.failure
  await changeCache(context, cache => cache.clearCache({ signal }))
  if (isSwitchedOn(context, 'json')) writeJson(context, { cleared: true })
  else terminal.write(`Removed all stored answers and KV state of ${data}\n`)
  return exitCodes.ok
}
