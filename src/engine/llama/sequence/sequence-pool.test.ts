import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { VirtualClock } from '../../../std/clock.ts'
import type { LeaseRequest } from './plan-lease.ts'
import { type PoolSlot, SequencePool } from './sequence-pool.ts'

const signal = new AbortController().signal
const slot = (...tokenIds: number[]): PoolSlot => ({
  resident: { tokenIds, blockTokens: 0, partition: '' },
})
const wish = (...promptTokens: number[]): LeaseRequest => ({ promptTokens, partition: '' })
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
    const lease = await pool.lease(wish(1, 2, 3, 4, 5), { signal })
    assert.equal(lease.slot, slots[1])
    assert.deepEqual(lease.start, { type: 'resident' })
  })

  it('lends the one unused for longest when none spares any', async () => {
    const slots = [slot(7), slot(8)]
    const { pool } = open(slots)
    const first = await pool.lease(wish(1), { signal })
    first.release()
    const second = await pool.lease(wish(2), { signal })
    assert.deepEqual([first.slot, second.slot], slots)
  })

  it('serves who waits in their order, even when somebody asks as a slot comes back', async () => {
    const { pool } = open([slot()])
    const order: string[] = []
    const first = await pool.lease(wish(1), { signal })
    const waiting = ['second', 'third'].map(async name => {
      const lease = await pool.lease(wish(1), { signal })
      order.push(name)
      lease.release()
    })
    assert.deepEqual(pool.load, { running: 1, waiting: 2 })
    first.release()
    const late = await pool.lease(wish(1), { signal })
    order.push('late')
    late.release()
    await Promise.all(waiting)
    assert.deepEqual(order, ['second', 'third', 'late'])
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
  })

  it('lets a waiter leave at once when its signal fires', async () => {
    const { pool } = open([slot()])
    const first = await pool.lease(wish(1), { signal })
    const controller = new AbortController()
    const waiting = pool.lease(wish(1), { signal: controller.signal })
    controller.abort(new Error('gone'))
    await assert.rejects(waiting, /gone/)
    assert.deepEqual(pool.load, { running: 1, waiting: 0 })
    first.release()
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
  })

  it('refuses when the queue is full, and says when to come back as measured', async () => {
    const { pool, clock } = open([slot()], 1)
    const measured = await pool.lease(wish(1), { signal })
    clock.advance(11_000)
    measured.release()
    const running = await pool.lease(wish(1), { signal })
    const waiting = pool.lease(wish(1), { signal })
    await assert.rejects(pool.lease(wish(1), { signal }), error => {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'engine_busy')
      assert.equal(error.retryAfterMs, 6_000, 'two rounds of 1 s + 0.2 × (11 s - 1 s)')
      return true
    })
    running.release()
    ;(await waiting).release()
  })

  it('names the sequence to copy from, a busy one too, and keeps it for long', async () => {
    const range = Array.from({ length: 300 }, (_, index) => index)
    const warm: PoolSlot = { resident: { tokenIds: range, blockTokens: 256, partition: '' } }
    const { pool } = open([warm, slot(7), slot(8)])
    const first = await pool.lease(wish(...range.slice(0, 290)), { signal })
    assert.deepEqual([first.slot, first.start], [warm, { type: 'resident' }])
    const second = await pool.lease(wish(...range.slice(0, 140), 900), { signal })
    assert.deepEqual(second.slot.resident.tokenIds, [7])
    assert.deepEqual(second.start, { type: 'fork', source: warm })
    first.release()
    second.release()
    const third = await pool.lease(wish(...range.slice(0, 140), 900), { signal })
    assert.deepEqual(third.slot.resident.tokenIds, [8])
    assert.deepEqual(third.start, { type: 'fork', source: warm }, 'it would lose a block itself')
  })

  it('leaseIdle() takes the least valuable one, and never waits', async () => {
    const warm: PoolSlot = {
      resident: { tokenIds: Array(200).fill(1), blockTokens: 128, partition: '' },
    }
    const { pool } = open([warm, slot(7)])
    const lease = pool.leaseIdle()
    assert.deepEqual(lease.slot.resident.tokenIds, [7])
    pool.leaseIdle()
    assert.throws(() => pool.leaseIdle(), { code: 'engine_busy' })
    lease.release()
    assert.equal(pool.leaseIdle().slot, lease.slot)
  })

  it('close() refuses who waits and whoever comes, and takes back what is lent', async () => {
    const { pool } = open([slot()])
    const running = await pool.lease(wish(1), { signal })
    const waiting = assert.rejects(pool.lease(wish(1), { signal }), stopped)
    pool.close(stopped)
    await waiting
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
    running.release()
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
    await assert.rejects(pool.lease(wish(1), { signal }), stopped)
  })
})
