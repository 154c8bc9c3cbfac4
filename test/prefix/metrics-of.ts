import type { BedNode } from '../swarm/bed-node.ts'

/** The sample of one metric with some labels: `kv_shards_received_total{result="valid"}`. */
export async function metricOf(node: BedNode, sample: string): Promise<number> {
  const reply = await fetch(`${node.url}/metrics`)
  const start = `hyperspace_${sample} `
  const line = (await reply.text()).split('\n').find(text => text.startsWith(start))
  return Number(line?.slice(start.length) ?? 0)
}
