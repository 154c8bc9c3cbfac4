import { AdminClient } from '../../client/admin-client.ts'
import type { CacheStatus } from '../../client/node-status.ts'
import { findRunningNode } from '../../data-folder.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, plural, secondsText, table } from '../format.ts'
import { readCache } from './cache-access.ts'
import { prefixRows } from './prefix/prefix-text.ts'

/** Of the store always; what the cache has saved only while a node counts it. */
export async function cacheStats(context: CommandContext): Promise<ExitCode> {
  const { terminal, signal, data } = context
  const { tiers } = await readCache(context, cache => cache.cacheStats({ signal }))
  const node = findRunningNode(data)
  const status = node === undefined ? undefined : await new AdminClient(node).status({ signal })
  const counted = status?.cache
  const prefix = status?.prefix
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, { tiers, ...countsOf(counted), ...(prefix === undefined ? {} : { prefix }) })
    return exitCodes.ok
  }
  const rows = tiers.map(tier => [
    tier.tier,
    countText(tier.records),
    bytesText(tier.bytes),
    bytesText(tier.bytesMax),
    countText(tier.evictions),
  ])
  terminal.write(
    table([['TIER', 'ANSWERS', 'SIZE', 'MAXIMUM', 'DROPPED'], ...rows], new Set([1, 2, 3, 4])),
  )
  if (prefix !== undefined) terminal.write(`\n${table(prefixRows(prefix))}`)
  if (counted !== undefined) {
    const fromPeers = counted.peerHits === 0 ? '' : `${countText(counted.peerHits)} from peers, `
    terminal.write(
      `\n${plural(counted.hits, 'hit')}, ${fromPeers}` +
        `${countText(counted.misses - counted.peerHits)} computed, ` +
        `${countText(counted.bypasses)} not cacheable; ${plural(counted.savedTokens, 'token')} ` +
        `and ${secondsText(counted.savedSeconds)} saved since the node started\n`,
    )
  }
  return exitCodes.ok
}

function countsOf(counted: CacheStatus | undefined): Partial<CacheStatus> {
  if (counted === undefined) return {}
  const { tiers: _same, ...counts } = counted
  return counts
}
