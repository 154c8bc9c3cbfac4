import { after } from 'node:test'
import { isMainThread } from 'node:worker_threads'

/** Far longer than anything of ours needs to end, and short beside the time that CI gives. */
const graceMs = 30_000

// The test runner waits for ever for a file whose tests are done but whose process lives on: a
// failed assertion may have left an engine behind. Preloaded into the file's process by
// `npm test`, and by that into its workers and children, which it leaves alone.
if (isMainThread && process.argv[1]?.endsWith('.test.ts') === true) {
  after(() => {
    const timer = setTimeout(() => {
      const held = process.getActiveResourcesInfo().join(', ')
      process.stderr.write(`${process.argv[1]} is alive ${graceMs} ms after its tests: ${held}\n`)
      process.exit(1)
    }, graceMs)
    timer.unref()
  })
}
