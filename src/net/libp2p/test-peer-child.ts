import { createInterface } from 'node:readline'
import { nextTurn } from '../../std/turn.ts'
import { testNetwork } from './test-nodes.ts'

/**
 * A node in a process of its own: `test-peer-child.ts ADDRESS…`. Prints its address, stops on the
 * first line of input, and prints what is still alive in the process then.
 */
const network = testNetwork({ peers: process.argv.slice(2) })
network.serve('/hyperspace/test/1', async body => body)
network.serve('/hyperspace/never/1', () => new Promise(() => undefined))
network.serveBytes('/hyperspace/endless/1', async function* () {
  for (;;) yield new Uint8Array(65_536)
})
// Asks the asker for bytes in turn, and says how many came.
network.serve('/hyperspace/fetch/1', async (body, from, options) => {
  let bytes = 0
  for await (const piece of network.openBytes(from, '/hyperspace/some/1', body, options)) {
    bytes += piece.length
  }
  return Buffer.from(String(bytes))
})
await network.start({ signal: new AbortController().signal })
process.stdout.write(`${network.addresses()[0]}\n`)
const lines = createInterface({ input: process.stdin })
lines.once('line', async () => {
  await network.stop()
  lines.close()
  process.stdin.destroy()
  const alive = await stillAlive()
  process.stdout.write(`${JSON.stringify(alive)}\n`)
})

/** The library's queues tell of their emptiness a millisecond late; that is let pass. */
async function stillAlive(): Promise<readonly string[]> {
  for (let turn = 0; ; turn++) {
    const alive = process.getActiveResourcesInfo().filter(kind => !/Pipe|TTY|FS/.test(kind))
    if (alive.length === 0 || turn === 1_000) return alive
    await nextTurn()
  }
}
