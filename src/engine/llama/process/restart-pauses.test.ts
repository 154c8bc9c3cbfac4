import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { engineRestartLongestMs, engineSteadyAfterMs } from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { RestartPauses } from './restart-pauses.ts'

describe('RestartPauses', () => {
  it('grow while processes keep ending, up to the longest', () => {
    const clock = new VirtualClock()
    const pauses = new RestartPauses(clock)
    pauses.served()
    const told = Array.from({ length: 9 }, () => {
      const pauseMs = pauses.ended()
      clock.advance(pauseMs)
      pauses.served()
      clock.advance(engineSteadyAfterMs - 1)
      return pauseMs
    })
    assert.deepEqual(told, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    assert.equal(told.at(-1), engineRestartLongestMs)
  })

  it('begin anew behind a process that has served a while', () => {
    const clock = new VirtualClock()
    const pauses = new RestartPauses(clock)
    for (let count = 0; count < 4; count++) pauses.ended()
    pauses.served()
    clock.advance(engineSteadyAfterMs)
    assert.deepEqual([pauses.ended(), pauses.ended(), pauses.ended()], [0, 1_000, 2_000])
  })
})
