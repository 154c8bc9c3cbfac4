import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { enginePingMs, enginePingsUnansweredMax } from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { Watchdog } from './watchdog.ts'

interface Watched {
  readonly clock: VirtualClock
  readonly watchdog: Watchdog
  readonly counts: { pings: number; stuck: number }
}

function watched(onPing: (watchdog: Watchdog) => void = () => undefined): Watched {
  const clock = new VirtualClock()
  const counts = { pings: 0, stuck: 0 }
  const watchdog: Watchdog = new Watchdog({
    clock,
    ping: () => {
      counts.pings += 1
      onPing(watchdog)
    },
    onStuck: () => {
      counts.stuck += 1
    },
  })
  return { clock, watchdog, counts }
}

describe('Watchdog', () => {
  it('tells once when so many pings in a row were not answered, and asks no more', () => {
    const { clock, watchdog, counts } = watched()
    watchdog.watch(true)
    clock.advance(enginePingMs * (enginePingsUnansweredMax + 1) - 1)
    assert.deepEqual(counts, { pings: enginePingsUnansweredMax, stuck: 0 })
    clock.advance(1)
    clock.advance(enginePingMs * 100)
    assert.deepEqual(counts, { pings: enginePingsUnansweredMax, stuck: 1 })
  })

  it('is content with any sign of life', () => {
    const { clock, watchdog, counts } = watched()
    watchdog.watch(true)
    for (let round = 0; round < 5; round++) {
      clock.advance(enginePingMs * enginePingsUnansweredMax)
      watchdog.heard()
    }
    assert.equal(counts.stuck, 0)
    const answering = watched(each => each.heard())
    answering.watchdog.watch(true)
    answering.clock.advance(enginePingMs * 1_000)
    assert.deepEqual(answering.counts, { pings: 1_000, stuck: 0 })
  })

  it('asks nothing while nothing is owed, and begins anew when something is', () => {
    const { clock, watchdog, counts } = watched()
    clock.advance(enginePingMs * 100)
    assert.equal(counts.pings, 0)
    for (let round = 0; round < 3; round++) {
      watchdog.watch(true)
      watchdog.watch(true)
      clock.advance(enginePingMs * enginePingsUnansweredMax)
      watchdog.watch(false)
      clock.advance(enginePingMs * 100)
    }
    assert.deepEqual(counts, { pings: 3 * enginePingsUnansweredMax, stuck: 0 })
  })

  it('takes time in which nothing ran for one ping, however long it was', () => {
    let now = 0
    let fire: (() => void) | undefined
    const counts = { pings: 0, stuck: 0 }
    const watchdog = new Watchdog({
      clock: {
        now: () => now,
        monotonicMs: () => now,
        after: (_, callback) => {
          fire = callback
          return () => undefined
        },
      },
      ping: () => {
        counts.pings += 1
      },
      onStuck: () => {
        counts.stuck += 1
      },
    })
    watchdog.watch(true)
    for (let suspend = 0; suspend < 20; suspend++) {
      now += 86_400_000
      fire?.()
      watchdog.heard()
    }
    assert.deepEqual(counts, { pings: 20, stuck: 0 })
  })
})
