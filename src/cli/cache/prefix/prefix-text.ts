import type { PrefixExplanation } from '../../../cache/prefix/prefix-cache.ts'
import type { BlockTierStatus, PrefixStatus } from '../../../client/node-status.ts'
import { bytesText, countText, plural, printable, secondsText } from '../../format.ts'

/** The cache of KV state, as rows of a table of facts; none where the node has none. */
export function prefixRows(prefix: PrefixStatus | undefined): readonly (readonly string[])[] {
  if (prefix === undefined) return []
  return [
    ...prefix.models.map(({ name, state }, index) => [
      index === 0 ? 'Prefixes' : '',
      `${printable(name)}: ${state === 'on' ? state : `off, because ${printable(state)}`}`,
    ]),
    ['KV in memory', tierText(prefix.memory)],
    ['KV on disk', tierText(prefix.disk)],
    ...swarmRow(prefix),
  ]
}

function tierText({ blocks, bytes, bytesMax, readOnlyBecause }: BlockTierStatus): string {
  const size = `${plural(blocks, 'block')}, ${bytesText(bytes)} of ${bytesText(bytesMax)}`
  return readOnlyBecause === undefined ? size : `${size}, NOT STORING: ${readOnlyBecause}`
}

function swarmRow({ swarm }: PrefixStatus): readonly (readonly string[])[] {
  if (swarm === null) return []
  const { placed, placing, shardsHeld, shardBytes, shardBytesMax } = swarm
  const waiting = placing === 0 ? '' : `, ${countText(placing)} on their way`
  const held = `${plural(shardsHeld, 'shard')} held for peers`
  const size = `${bytesText(shardBytes)} of ${bytesText(shardBytesMax)}`
  return [['KV in swarm', `${plural(placed, 'block')} placed${waiting}; ${held}, ${size}`]]
}

/** From where a prompt would be computed now, and why. */
export function prefixPlanText(explained: PrefixExplanation): string {
  if (!explained.isOn) return `off: ${printable(explained.reason)}`
  const { promptTokens, wholeBlocks, residentTokens, plan } = explained
  const { localBlocks, diskBlocks, peerBlocks } = explained
  const taken = [
    ...(plan.localBlocks === 0 ? [] : [`${plural(plan.localBlocks, 'block')} of this node`]),
    ...(plan.peerBlocks === 0 ? [] : [`${plural(plan.peerBlocks, 'block')} of peers`]),
  ]
  const nothing = residentTokens > 0 ? 'with what the engine holds' : 'with nothing'
  const begin = taken.length === 0 ? nothing : `with ${taken.join(' and ')}`
  const predicted = secondsText(plan.predictedMs / 1_000)
  const without = secondsText(plan.withoutMs / 1_000)
  const compared = taken.length === 0 ? '' : `, ${without} without`
  return [
    `${plural(promptTokens, 'token')}, ${plural(wholeBlocks, 'whole block')} of KV state`,
    `the engine holds ${plural(residentTokens, 'token')}, this node ` +
      `${plural(localBlocks, 'block')} (${countText(diskBlocks)} on disk), ` +
      `peers ${countText(peerBlocks)} more`,
    `it would begin ${begin}: first token after ${predicted}${compared}`,
    `because ${printable(plan.reason)}`,
  ].join('\n')
}
