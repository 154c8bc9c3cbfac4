import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { prefixRateAgeMsMax } from '../../limits.ts'
import { defaultRates } from '../../route/predict-ttft.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { Rates } from './rates.ts'

const model = { numericClass: 'a', speed: {} }

describe('Rates', () => {
  it('begin at the defaults, and take what the engine itself measured', () => {
    const rates = new Rates(new SimulatedClock())
    assert.deepEqual(rates.of(model), defaultRates)
    const speed = { prefillTokensPerSecond: 77 }
    assert.equal(rates.of({ ...model, speed }).prefillTokensPerSecond, 77)
  })

  it('guess by the size of the weights before anything was measured', () => {
    const rates = new Rates(new SimulatedClock())
    const of = (bytes: number): number =>
      rates.of({ ...model, details: { origin: 'embedded', bytes } }).prefillTokensPerSecond
    assert.equal(Math.round(of(150e6)), 400)
    assert.equal(of(1e6), 5_000)
    assert.equal(of(40e9), 50)
  })

  it('follow what is measured, by model, long measurements more than short ones', () => {
    const rates = new Rates(new SimulatedClock())
    rates.notePrefill('a', 1_000, 1_000)
    rates.notePrefill('a', 1, 100)
    const { prefillTokensPerSecond } = rates.of(model)
    assert.ok(prefillTokensPerSecond > 850 && prefillTokensPerSecond < 1_000)
    for (let count = 0; count < 30; count++) rates.notePrefill('a', 100, 1_000)
    assert.ok(Math.abs(rates.of(model).prefillTokensPerSecond - 100) < 5)
    const { prefillTokensPerSecond: other } = rates.of({ ...model, numericClass: 'b' })
    assert.equal(other, defaultRates.prefillTokensPerSecond)
  })

  it('learn nothing from a clock that stands still or runs back', () => {
    const rates = new Rates(new SimulatedClock())
    for (const ms of [0, -5, Number.NaN]) rates.noteDisk(1_000, ms)
    assert.equal(rates.of(model).diskBytesPerSecond, defaultRates.diskBytesPerSecond)
    rates.noteDisk(2_000, 1)
    assert.equal(rates.of(model).diskBytesPerSecond, 2e6)
    rates.noteImport('a', 3_000, 1)
    assert.equal(rates.of(model).importBytesPerSecond, 3e6)
  })

  it('tell how long those that wait will take', () => {
    const rates = new Rates(new SimulatedClock())
    assert.equal(rates.queueMs({ running: 4, waiting: 8 }), 0, 'nothing is known yet')
    rates.noteGeneration(1_000)
    assert.equal(rates.queueMs({ running: 4, waiting: 0 }), 0)
    assert.equal(rates.queueMs({ running: 4, waiting: 8 }), 2_000)
  })

  it('forget one slow import, which would keep all later ones from being tried', async () => {
    const clock = new SimulatedClock()
    const rates = new Rates(clock)
    rates.noteImport('a', 1_000, 10_000)
    assert.equal(rates.of(model).importBytesPerSecond, 100)
    await clock.run(prefixRateAgeMsMax + 1)
    assert.equal(rates.of(model).importBytesPerSecond, defaultRates.importBytesPerSecond)
  })
})
