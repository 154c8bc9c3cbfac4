import type { ModelStatus, NodeStatus } from '../../client/node-status.ts'
import { prefixRows } from '../cache/prefix/prefix-text.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { bytesText, countText, plural, printable, secondsText, table } from '../format.ts'
import { requireAdmin } from '../running-node.ts'
import { reachabilityText, swarmRows } from '../swarm/swarm-text.ts'

export async function status(context: CommandContext): Promise<ExitCode> {
  const { data, terminal, signal } = context
  const found = await requireAdmin(data).status({ signal })
  if (isSwitchedOn(context, 'json')) writeJson(context, found)
  else terminal.write(statusText(found))
  return exitCodes.ok
}

function statusText(node: NodeStatus): string {
  const { running, waiting } = totalLoad(node)
  const requests = [plural(node.requestsRunning, 'request'), `${running} generating`]
  const facts = [
    ['Node', `${node.version}, ${node.state}, pid ${node.pid}, up ${uptime(node)}`],
    ['Data folder', node.dataFolder],
    ['OpenAI API', node.urls.openai],
    ['Anthropic API', node.urls.anthropic],
    ...swarmRows(node.swarm),
    ...shareRows(node),
    ['Sharing', node.sharing],
    ['Now', [...requests, `${waiting} waiting`].join(', ')],
    ['Answers', answersText(node)],
    ['Saved', savedText(node)],
    ...node.cache.tiers.map(tier => [
      tier.tier === 'memory' ? 'In memory' : 'On disk',
      `${plural(tier.records, 'answer')}, ${bytesText(tier.bytes)} of ${bytesText(tier.bytesMax)}` +
        (tier.readOnlyBecause === undefined ? '' : `, NOT STORING: ${tier.readOnlyBecause}`),
    ]),
    ...prefixRows(node.prefix),
    ...node.upstreams.map(upstream => [
      'Upstream',
      `${printable(upstream.name)} at ${upstream.url}, ${plural(upstream.models, 'model')}`,
    ]),
    ...node.notices.map(notice => ['Notice', printable(notice)]),
  ]
  return `${table(facts)}\n${modelTable(node.models)}`
}

/** How the node stands among its peers, and what went to and fro. */
function shareRows({ swarm }: NodeStatus): readonly (readonly string[])[] {
  if (swarm === null) return []
  const served = swarm.peers.reduce((sum, peer) => sum + peer.servedAnswers, 0)
  const received = swarm.peers.reduce((sum, peer) => sum + peer.receivedAnswers, 0)
  const flow = `${plural(served, 'answer')} given, ${countText(received)} got from those connected`
  return [
    ['Reach', reachabilityText(swarm)],
    ['Peers', `${flow}; ${plural(swarm.sharedAnswers, 'answer')} offered`],
  ]
}

function uptime(node: NodeStatus): string {
  return secondsText(node.uptimeSeconds)
}

function answersText({ cache }: NodeStatus): string {
  const lookups = cache.hits + cache.misses
  const found = cache.hits + cache.peerHits
  const share = lookups === 0 ? '' : ` (${Math.round((100 * found) / lookups)} % hits)`
  const fromPeers = cache.peerHits === 0 ? '' : `${countText(cache.peerHits)} from peers, `
  const computed = `${countText(cache.misses - cache.peerHits)} computed`
  const counts = `${countText(cache.hits)} from the cache, ${fromPeers}${computed}`
  return `${counts}${share}, ${countText(cache.bypasses)} not cacheable`
}

function savedText({ cache }: NodeStatus): string {
  const tokens = `${countText(cache.savedTokens)} tokens`
  return `${tokens}, ${secondsText(cache.savedSeconds)} of computing`
}

function totalLoad({ engines }: NodeStatus): { running: number; waiting: number } {
  return {
    running: engines.reduce((sum, engine) => sum + engine.running, 0),
    waiting: engines.reduce((sum, engine) => sum + engine.waiting, 0),
  }
}

function modelTable(models: readonly ModelStatus[]): string {
  if (models.length === 0) return 'No models\n'
  const head = ['MODEL', 'FROM', 'QUANT', 'SIZE', 'CONTEXT', 'PREFILL', 'DECODE']
  const rows = models.map(model => [
    printable(model.name),
    printable(model.origin),
    model.quantization ?? '-',
    model.bytes === null ? '-' : bytesText(model.bytes),
    model.contextTokens === null ? '-' : countText(model.contextTokens),
    speedText(model.prefillTokensPerSecond),
    speedText(model.decodeTokensPerSecond),
  ])
  return table([head, ...rows], new Set([3, 4, 5, 6]))
}

function speedText(tokensPerSecond: number | null): string {
  return tokensPerSecond === null ? '-' : `${countText(Math.round(tokensPerSecond))} tok/s`
}
