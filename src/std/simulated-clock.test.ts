import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { delay } from './clock.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedClock } from './simulated-clock.ts'
import { afterThisTurn } from './turn.ts'

const { signal } = new AbortController()

describe('SimulatedClock', () => {
  it('fires timers in the order of their times, and of their making', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ ms: fc.nat(20), isKept: fc.boolean() })), async all => {
        const clock = new SimulatedClock()
        const fired: number[] = []
        for (const [index, { ms, isKept }] of all.entries()) {
          const cancel = clock.after(ms, () => {
            assert.equal(clock.monotonicMs(), ms)
            fired.push(index)
          })
          if (!isKept) cancel()
        }
        await clock.run(20)
        const kept = all.map(({ ms, isKept }, index) => ({ ms, isKept, index }))
        const expected = kept.filter(({ isKept }) => isKept).toSorted((a, b) => a.ms - b.ms)
        assert.deepEqual(
          fired,
          expected.map(({ index }) => index),
        )
      }),
      { numRuns: 50 },
    )
  })

  it('lets everything go on before time moves', async () => {
    const clock = new SimulatedClock()
    const seen: [string, number][] = []
    const step = async (): Promise<void> => {
      await delay(clock, 5, signal)
      for (let index = 0; index < 100; index++) await undefined
      seen.push(['promises', clock.monotonicMs()])
      await new Promise<void>(resolve => afterThisTurn(resolve))
      seen.push(['turn', clock.monotonicMs()])
    }
    clock.after(6, () => seen.push(['timer', clock.monotonicMs()]))
    await clock.settle(step())
    await clock.run(10)
    assert.deepEqual(seen, [
      ['promises', 5],
      ['turn', 5],
      ['timer', 6],
    ])
  })

  it('settle() moves time no further than the promise needs', async () => {
    const clock = new SimulatedClock(1_000)
    clock.after(500, () => assert.fail('too far'))
    assert.equal(await clock.settle(delay(clock, 20, signal).then(() => 'done')), 'done')
    assert.deepEqual([clock.monotonicMs(), clock.now()], [20, 1_020])
    clock.jump(5_000)
    assert.deepEqual([clock.monotonicMs(), clock.now()], [20, 6_020])
  })

  it('settle() gives up on a promise that nothing settles, and passes failures on', async () => {
    const clock = new SimulatedClock()
    await assert.rejects(clock.settle(new Promise(() => undefined)), /Nothing settles/)
    const again = (): unknown => clock.after(3_600_000, again)
    again()
    await assert.rejects(clock.settle(new Promise(() => undefined)), /Nothing settles/)
    await assert.rejects(clock.settle(Promise.reject(new Error('no'))), /no/)
  })
})

describe('SeededRandom', () => {
  it('gives the same for the same seed, and about as much of everything', () => {
    const [one, same, other] = [new SeededRandom(1), new SeededRandom(1), new SeededRandom(2)]
    const bytes = one.bytes(10_000)
    assert.deepEqual(same.bytes(10_000), bytes)
    assert.notDeepEqual(other.bytes(10_000), bytes)
    const mean = bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length
    assert.ok(Math.abs(mean - 127.5) < 4)
    const fractions = Array.from({ length: 1_000 }, () => one.fraction())
    assert.ok(fractions.every(fraction => fraction >= 0 && fraction < 1))
    assert.match(one.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  })
})
