import { type CommandContext, countOption, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, secondsText, table } from '../format.ts'
import { readCache } from './cache-access.ts'

const limitMax = 1_000_000

export async function cacheList(context: CommandContext): Promise<ExitCode> {
  const { terminal, signal } = context
  const limit = countOption(context, 'limit', { fallback: 100, max: limitMax })
  const entries = await readCache(context, cache => cache.cacheEntries(limit, { signal }))
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, { entries })
    return exitCodes.ok
  }
  const rows = entries.map(entry => [
    entry.lookupKey.slice(0, 16),
    bytesText(entry.bytes),
    countText(entry.uses),
    secondsText(entry.costSeconds),
    entry.createdAt.slice(0, 19).replace('T', ' '),
    entry.expiresAt.slice(0, 10),
  ])
  const head = ['LOOK-UP KEY', 'SIZE', 'USES', 'COST', 'CREATED (UTC)', 'EXPIRES']
  terminal.write(table([head, ...rows], new Set([1, 2, 3])))
  if (entries.length === limit) terminal.writeError(`The first ${limit}: see more with --limit\n`)
  return exitCodes.ok
}
