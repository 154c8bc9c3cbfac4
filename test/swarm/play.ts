/** `npm run swarm -- --nodes 5`: a swarm on this machine to play with. Ctrl-C ends it. */
import { parseArgs } from 'node:util'
import { systemRandom } from '../../src/std/random.ts'
import type { BedNode } from './bed-node.ts'
import { TestBed } from './test-bed.ts'

const nodesMax = 32

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '3' },
    port: { type: 'string', default: '11510' },
    fake: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const help = `Starts a swarm of nodes on this machine. Their data folders are removed at the end.

  npm run swarm -- --nodes 5    how many (1 to ${nodesMax}, default 3)
                   --port N     port of the first node's API; the others follow (default 11510)
                   --fake       with a fake engine instead of the demo model
`

async function play(count: number, firstPort: number): Promise<void> {
  const bed = new TestBed(systemRandom.bytes(32))
  const end = Promise.withResolvers<void>()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => end.resolve())
  try {
    const nodes: BedNode[] = []
    for (let index = 0; index < count; index++) {
      const node = await bed.start({
        name: `node-${index + 1}`,
        engine: values.fake ? 'fake' : 'demo',
        peers: nodes.slice(0, 1),
        flags: { port: String(firstPort + index) },
      })
      nodes.push(node)
      say(`${node.name.padEnd(7)} ${node.url}  pid ${node.process.pid}  ${node.data}`)
    }
    const waiting = bed.connected(nodes).then(() => say(`All ${count} are connected.`))
    await Promise.race([waiting, end.promise])
    say(hints(nodes))
    await end.promise
    say('Stopping')
  } finally {
    await bed.close()
  }
}

/** What to try, with the first two nodes. */
function hints(nodes: readonly BedNode[]): string {
  const model = values.fake ? 'fake' : 'tiny-chat'
  const body = { model, messages: [{ role: 'user', content: 'What is a KV cache?' }] }
  const asks = nodes.slice(0, 2).map(({ url }) => {
    const options = `-H 'content-type: application/json' -d '${JSON.stringify(body)}'`
    return `  curl -si ${url}/v1/chat/completions ${options}`
  })
  const [first] = nodes
  return `
Ask one node, then another, and compare x-hyperspace-source:
${asks.join('\n')}
  node bin/hyperspace status --data '${first?.data}'
Ctrl-C stops them all.`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

const count = Number(values.nodes)
const port = Number(values.port)
const isValid = [count, port].every(Number.isInteger) && count >= 1 && count <= nodesMax
if (values.help || !isValid) {
  say(help)
  process.exitCode = values.help ? 0 : 2
} else await play(count, port)
