import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { TestSwarm } from '../cache/peers/test-swarm.ts'
import { PrometheusMetrics } from './prometheus.ts'

describe('PrometheusMetrics', () => {
  let swarm: TestSwarm
  let metrics: PrometheusMetrics
  before(() => {
    swarm = new TestSwarm()
  })
  after(() => swarm.close())

  /** The value of a sample, by its name and labels. */
  async function samples(): Promise<(name: string) => number> {
    const lines = (await metrics.text()).split('\n')
    return name => {
      const line = lines.find(each => each.startsWith(`hyperspace_${name} `))
      return line === undefined ? 0 : Number(line.split(' ').at(-1))
    }
  }

  it('adds up, with hits here, hits on peers, misses and bypasses', async () => {
    const a = await swarm.add()
    metrics = new PrometheusMetrics({
      store: () => a.store.stats(),
      requestsRunning: () => 0,
      engine: () => a.engine.load(),
      swarm: () => ({ peers: b.network.peers().length, sharedKeys: b.sharing.shared.size }),
      blocks: () => undefined,
    })
    const b = await swarm.add({ metrics })
    for (const text of ['one', 'two', 'three']) await swarm.ask(a, text)
    for (const text of ['one', 'two', 'four', 'one']) await swarm.ask(b, text)
    await swarm.ask(b, 'five', { control: { noStore: true } })
    await swarm.ask(b, 'one', { control: { noCache: true } })
    await swarm.ask(a, 'four')
    const of = await samples()

    const outcomes = ['hit', 'miss', 'bypass'].map(outcome => `lookups_total{outcome="${outcome}"}`)
    assert.deepEqual(outcomes.map(of), [1, 4, 1])
    const peerOutcomes = ['hit', 'miss', 'overtaken', 'skipped'].map(
      outcome => `peer_lookups_total{outcome="${outcome}"}`,
    )
    assert.deepEqual(peerOutcomes.map(of), [2, 1, 0, 0])
    assert.equal(metrics.totals.misses, 4, 'an answer from a peer is a miss here')
    assert.equal(metrics.totals.peerHits, 2)
    assert.equal(of('peer_lookup_duration_seconds_count{outcome="hit"}'), 2)
    assert.equal(of('peer_records_checked_total{result="valid"}'), 2)
    assert.equal(of('peer_answers_received_total'), 2)
    assert.equal(of('peer_answers_served_total'), 1)

    const account = b.sharing.ledger.of(a.self)
    assert.equal(of('peer_answers_received_bytes_total'), account.receivedBytes)
    assert.equal(of('peer_answers_served_bytes_total'), account.servedBytes)
    assert.equal(of('peers'), 1)
    assert.equal(of('shared_keys'), 5, 'one, two, four; leaves of four and of the fresh one')
  })
})
