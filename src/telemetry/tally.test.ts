import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Registry } from 'prom-client'
import { Tally } from './tally.ts'

describe('Tally', () => {
  it('tells the sum of each set of label values, at every scrape anew', async () => {
    const registry = new Registry()
    const labelNames = ['api', 'status']
    const tally = new Tally({ name: 'requests_total', help: 'Requests', labelNames, registry })
    tally.add(1, 'messages 200')
    tally.add(2, 'messages 200')
    tally.add(1, 'messages 400')
    const wanted = [
      'hyperspace_requests_total{api="messages",status="200"} 3',
      'hyperspace_requests_total{api="messages",status="400"} 1',
    ]
    assert.deepEqual(samples(await registry.metrics()), wanted)
    assert.deepEqual(samples(await registry.metrics()), wanted)
    assert.equal(tally.sum('messages 200'), 3)
    assert.equal(tally.sum('messages 500'), 0)
  })

  it('starts at zero when it has no labels', async () => {
    const registry = new Registry()
    const tally = new Tally({ name: 'tokens_total', help: 'Tokens', labelNames: [], registry })
    assert.deepEqual(samples(await registry.metrics()), ['hyperspace_tokens_total 0'])
    tally.add(0.5)
    assert.deepEqual(samples(await registry.metrics()), ['hyperspace_tokens_total 0.5'])
  })
})

function samples(text: string): readonly string[] {
  return text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
}
