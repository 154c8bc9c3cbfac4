import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Histogram, Registry } from 'prom-client'
import { Durations } from './durations.ts'

const name = 'hyperspace_lookup_duration_seconds'
const help = 'Time of a look-up'
const bounds = [0.001, 0.01, 0.1, 1]

const seconds = fc.oneof(fc.constantFrom(0, ...bounds), fc.double({ min: 0, max: 10, noNaN: true }))

function linesOf(text: string): ReadonlySet<string> {
  return new Set(text.split('\n').filter(line => line !== ''))
}

describe('Durations', () => {
  it('says what the histogram of prom-client says', async () => {
    const observation = fc.record({ seconds, outcome: fc.constantFrom('hit', 'miss') })
    await fc.assert(
      fc.asyncProperty(fc.array(observation), async observations => {
        const registers = [new Registry()]
        const buckets = [...bounds]
        const twin = new Histogram({ name, help, buckets, labelNames: ['outcome'], registers })
        const durations = new Durations({ name, help, bounds, label: 'outcome' })
        for (const { seconds: took, outcome } of observations) {
          twin.observe({ outcome }, took)
          durations.observe(took, outcome)
        }
        const wanted = (await registers[0]?.metrics()) ?? ''
        assert.deepEqual(
          linesOf(durations.text()),
          linesOf(wanted.replaceAll(orderOfLabels, '$2,$1')),
        )
      }),
    )
  })

  it('says so without a label too, from the start', async () => {
    const registers = [new Registry()]
    const twin = new Histogram({ name, help, buckets: [...bounds], registers })
    const durations = new Durations({ name, help, bounds })
    assert.deepEqual(linesOf(durations.text()), linesOf((await registers[0]?.metrics()) ?? ''))
    twin.observe(0.5)
    durations.observe(0.5)
    assert.deepEqual(linesOf(durations.text()), linesOf((await registers[0]?.metrics()) ?? ''))
  })
})

/** prom-client writes `le` first; the order means nothing. */
const orderOfLabels = /(le="[^"]*"),(outcome="[^"]*")/g
