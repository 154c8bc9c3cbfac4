import { parseArgs } from 'node:util'
import { startDirectoryNode } from '../support/directory-nodes.ts'

/** `--count` peers of the node at `--address`, with nothing to do; the last listens on `--port`. */
const { values } = parseArgs({
  options: { port: { type: 'string' }, address: { type: 'string' }, count: { type: 'string' } },
})
const count = Number(values.count)
for (let index = 1; index <= count; index++) {
  const port = index === count ? Number(values.port) : 0
  await startDirectoryNode({ name: `idle-${index}`, port, peers: [values.address ?? ''] })
}
process.once('SIGTERM', () => process.exit())
