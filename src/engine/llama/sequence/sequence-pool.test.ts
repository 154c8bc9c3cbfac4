import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { type PoolSlot, SequencePool } from './sequence-pool.ts'

const signal = new AbortController().signal
const slot = (...tokenIds: number[]): PoolSlot => ({ resident: { tokenIds, blockTokens: 0 } })
const open = (
  slots: readonly PoolSlot[],
  queueMax = 4,
): { pool: SequencePool<PoolSlot>; clock: VirtualClock } => {
  const clock = new VirtualClock()
  return { pool: new SequencePool(slots, clock, { queueMax, isCuttable: true }), clock }
}
const stopped = new OperationError('draining', 'The engine was stopped', { origin: 'self' })

describe('SequencePool', () => {
  it('lends the sequence that spares most prefill', async () => {
    const slots = [slot(), slot(1, 2, 3), slot(1, 2)]
    const { pool } = open(slots)
    const lease = await pool.lease([1, 2, 3, 4, 5], { signal })
    assert.equal(lease.slot, slots[1])
    assert.equal(lease.plan.reuseTokens, 3)
  })

  it('lends the one unused for longest when none spares any', async () => {
    const slots = [slot(7), slot(8)]
    const { pool } = open(slots)
    const first = await pool.lease([1], { signal })
    first.release()
    const second = await pool.lease([2], { signal })
    assert.deepEqual([first.slot, second.slot], slots)
  })

  it('serves who waits in their order, even when somebody asks as a slot comes back', async () => {
    const { pool } = open([slot()])
    const order: string[] = []
    const first = await pool.lease([1], { signal })
    const waiting = ['second', 'third'].map(async name => {
      const lease = await pool.lease([1], { signal })
      order.push(name)
      lease.release()
    })
    assert.deepEqual(pool.load, { running: 1, waiting: 2 })
    first.release()
    const late = await pool.lease([1], { signal })
    order.push('late')
    late.release()
    await Promise.all(waiting)
    assert.deepEqual(order, ['second', 'third', 'late'])
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
  })

  it('lets a waiter leave at once when its signal fires', async () => {
    const { pool } = open([slot()])
    const first = await pool.lease([1], { signal })
    const controller = new AbortController()
    const waiting = pool.lease([1], { signal: controller.signal })
    controller.abort(new Error('gone'))
    await assert.rejects(waiting, /gone/)
    assert.deepEqual(pool.load, { running: 1, waiting: 0 })
    first.release()
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
  })

  it('refuses when the queue is full, and says when to come back as measured', async () => {
    const { pool, clock } = open([slot()], 1)
    const measured = await pool.lease([1], { signal })
    clock.advance(11_000)
    measured.release()
    const running = await pool.lease([1], { signal })
    const waiting = pool.lease([1], { signal })
    await assert.rejects(pool.lease([1], { signal }), error => {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'engine_busy')
      assert.equal(error.retryAfterMs, 6_000, 'two rounds of 1 s + 0.2 × (11 s - 1 s)')
      return true
    })
    running.release()
    ;(await waiting).release()
  })

  it('close() refuses who waits and whoever comes, and takes back what is lent', async () => {
    const { pool } = open([slot()])
    const running = await pool.lease([1], { signal })
    const waiting = assert.rejects(pool.lease([1], { signal }), stopped)
    pool.close(stopped)
    await waiting
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
    running.release()
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
    await assert.rejects(pool.lease([1], { signal }), stopped)
  })
})
