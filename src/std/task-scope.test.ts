import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from './simulated-clock.ts'
import { IdleWork, TaskScope } from './task-scope.ts'

/** Idle work that runs until it is let go. */
function subject() {
  const clock = new SimulatedClock()
  const errors: unknown[] = []
  const scope = new TaskScope((task, error) => errors.push([task, error]))
  let runs = 0
  let running = Promise.withResolvers<void>()
  const work = new IdleWork({ clock, scope }, { task: 'tidy', idleMs: 100 }, async () => {
    runs += 1
    running = Promise.withResolvers()
    await running.promise
  })
  const end = async (error?: Error): Promise<void> => {
    if (error === undefined) running.resolve()
    else running.reject(error)
    await scope.drain()
  }
  return { clock, scope, errors, work, end, runCount: () => runs }
}

describe('IdleWork', () => {
  it('later() runs it once, so long after the last call', async () => {
    const { clock, work, end, runCount } = subject()
    for (let call = 0; call < 3; call++) {
      work.later()
      await clock.run(99)
    }
    assert.deepEqual([runCount(), work.isRunning], [0, false])
    await clock.run(1)
    assert.deepEqual([runCount(), work.isRunning], [1, true])
    await end()
    await clock.run(1_000)
    assert.deepEqual([runCount(), work.isRunning], [1, false])
  })

  it('runs one at a time, and again when it has ended, failed or not', async () => {
    const { clock, work, end, errors, runCount } = subject()
    work.now()
    work.now()
    work.later()
    await clock.run(100)
    assert.equal(runCount(), 1)
    const error = new Error('no room')
    await end(error)
    assert.deepEqual(errors, [['tidy', error]])
    work.now()
    assert.equal(runCount(), 2)
    await end()
  })

  it('close() lets it begin no more', async () => {
    const { clock, work, runCount } = subject()
    work.later()
    work.close()
    work.later()
    work.now()
    await clock.run(1_000)
    assert.equal(runCount(), 0)
  })
})
