import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { engineQuietMs, engineYieldingMax } from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import type { LeaseRequest } from './plan-lease.ts'
import { type PoolSlot, SequencePool } from './sequence-pool.ts'

const signal = new AbortController().signal
const slot = (...tokenIds: number[]): PoolSlot => ({
  resident: { tokenIds, tiledTokens: 0, partition: '' },
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
    const warm: PoolSlot = { resident: { tokenIds: range, tiledTokens: 256, partition: '' } }
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

  it('gives work without a prompt the sequence whose loss hurts least', async () => {
    const warm: PoolSlot = {
      resident: { tokenIds: Array(200).fill(1), tiledTokens: 128, partition: '' },
    }
    const { pool } = open([warm, slot(7)])
    const lease = await pool.lease({ promptTokens: [], partition: 'other' }, { signal })
    assert.deepEqual(lease.slot.resident.tokenIds, [7])
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

describe('SequencePool with work that yields', () => {
  it('lends to it one at a time, when nobody has wanted any for a moment', async () => {
    const { pool, clock } = open([slot(), slot(), slot()])
    const later = { signal, yieldsUntilMs: 1_000 }
    const order: string[] = []
    const answers = [await pool.lease(wish(1), { signal }), await pool.lease(wish(1), { signal })]
    const works = ['first', 'second'].map(async name => {
      const lease = await pool.lease(wish(1), later)
      order.push(name)
      return lease
    })
    answers[0]?.release()
    await Promise.resolve()
    assert.deepEqual([order, pool.load], [[], { running: 1, waiting: 0 }])
    answers[1]?.release()
    clock.advance(engineQuietMs - 1)
    const late = await pool.lease(wish(1), { signal })
    clock.advance(1)
    late.release()
    clock.advance(engineQuietMs - 1)
    await Promise.resolve()
    assert.deepEqual([order, pool.load], [[], { running: 0, waiting: 0 }])
    clock.advance(1)
    const first = await works[0]
    assert.deepEqual([order, pool.load], [['first'], { running: 0, waiting: 0 }])
    assert.equal(first?.wanted?.aborted, false)
    first.release()
    ;(await works[1])?.release()
    assert.deepEqual(order, ['first', 'second'])
  })

  it('calls it back for a request, which then has all sequences to choose from', async () => {
    const slots = [slot(), slot(1, 2, 3)]
    const { pool, clock } = open(slots, 0)
    const work = await pool.lease(wish(1, 2, 3, 4), { signal, yieldsUntilMs: 1_000 })
    assert.equal(work.slot, slots[1])
    const answers = [wish(1, 2, 3, 5), wish(9)].map(each => pool.lease(each, { signal }))
    assert.equal(work.wanted?.aborted, true)
    await assert.rejects(pool.lease(wish(8), { signal }), { code: 'engine_busy' })
    const again = pool.lease(wish(1, 2, 3, 4), { signal, yieldsUntilMs: 1_000 })
    assert.deepEqual(pool.load, { running: 0, waiting: 2 })
    work.release()
    const leases = await Promise.all(answers)
    assert.deepEqual(
      leases.map(lease => lease.slot),
      [slots[1], slots[0]],
    )
    for (const lease of leases) lease.release()
    clock.advance(engineQuietMs)
    ;(await again).release()
  })

  it('serves it as any other when it has yielded long enough, one at a time', async () => {
    const { pool, clock } = open([slot(), slot(), slot()])
    const answer = await pool.lease(wish(1), { signal })
    const order: string[] = []
    const works = ['first', 'second'].map(async name => {
      const lease = await pool.lease(wish(2), { signal, yieldsUntilMs: 1_000 })
      order.push(name)
      return lease
    })
    clock.advance(999)
    await Promise.resolve()
    assert.deepEqual(order, [])
    clock.advance(1)
    const first = await works[0]
    assert.deepEqual([order, pool.load], [['first'], { running: 1, waiting: 0 }])
    const another = await pool.lease(wish(3), { signal })
    assert.equal(first?.wanted?.aborted, false, 'it is not called back any more')
    first?.release()
    const second = await works[1]
    second?.release()
    another.release()
    answer.release()
  })

  it('queues it behind those who wait when it has yielded long enough', async () => {
    const { pool, clock } = open([slot()])
    const answer = await pool.lease(wish(1), { signal })
    const order: string[] = []
    const serve = async (name: string, yieldsUntilMs?: number): Promise<void> => {
      const options = yieldsUntilMs === undefined ? { signal } : { signal, yieldsUntilMs }
      const lease = await pool.lease(wish(1), options)
      order.push(name)
      lease.release()
    }
    const all = [serve('work', 1_000), serve('more work', 1_000), serve('before')]
    clock.advance(1_000)
    all.push(serve('behind'), serve('late work', 0))
    answer.release()
    clock.advance(0)
    await Promise.all(all.slice(0, 4))
    clock.advance(engineQuietMs)
    await Promise.all(all)
    assert.deepEqual(order.slice(0, 3), ['before', 'work', 'behind'])
    assert.deepEqual(order.slice(3).sort(), ['late work', 'more work'])
  })

  it('takes its use of a sequence for none', async () => {
    const [old, young] = [slot(7), slot(8)]
    const { pool } = open([old, young])
    const work = await pool.lease(wish(1), { signal, yieldsUntilMs: 1_000 })
    assert.equal(work.slot, old)
    work.release()
    assert.equal((await pool.lease(wish(2), { signal })).slot, old)
  })

  it('costs nobody what is resident when several answers are scored at once', async () => {
    const range = Array.from({ length: 300 }, (_, index) => index)
    const prompts = [range, range.map(token => token + 1_000)]
    const slots = prompts.map((tokenIds): PoolSlot => {
      return { resident: { tokenIds, tiledTokens: 299, partition: '' } }
    })
    const { pool, clock } = open(slots)
    const answers = await Promise.all(prompts.map(each => pool.lease(wish(...each), { signal })))
    const works = prompts.map(async each => {
      const lease = await pool.lease(wish(...each), { signal, yieldsUntilMs: 1_000 })
      lease.release()
      return [lease.slot, lease.start]
    })
    for (const answer of answers) answer.release()
    clock.advance(engineQuietMs)
    assert.deepEqual(
      await Promise.all(works),
      slots.map(each => [each, { type: 'resident' }]),
    )
  })

  it('makes way for other pools of the machine too, none of which waits for it', async () => {
    const clock = new VirtualClock()
    const machine = new Set<SequencePool<PoolSlot>>()
    const options = { queueMax: 4, isCuttable: true, machine }
    const [one, other] = [0, 1].map(() => new SequencePool([slot()], clock, options))
    assert.ok(one !== undefined && other !== undefined)
    const later = { signal, yieldsUntilMs: 1_000 }
    const work = await one.lease(wish(1), later)
    const answer = await other.lease(wish(1), { signal })
    assert.equal(work.wanted?.aborted, true)
    const order: string[] = []
    const works = [one, other].map(async (pool, index) => {
      const lease = await pool.lease(wish(1), later)
      order.push(`work ${index}`)
      return lease
    })
    work.release()
    clock.advance(engineQuietMs)
    order.push('answered')
    answer.release()
    clock.advance(engineQuietMs - 1)
    await Promise.resolve()
    assert.deepEqual(order, ['answered'])
    clock.advance(1)
    const first = await works[0]
    assert.deepEqual(order, ['answered', 'work 0'])
    first?.release()
    clock.advance(0)
    ;(await works[1])?.release()
    one.close(stopped)
    ;(await other.lease(wish(1), later)).release()
  })

  it('lets it leave, refuses it when too much waits, and on close()', async () => {
    const { pool, clock } = open([slot()], 0)
    const later = { signal, yieldsUntilMs: 1_000 }
    const answer = await pool.lease(wish(1), { signal })
    const controller = new AbortController()
    const gone = pool.lease(wish(1), { ...later, signal: controller.signal })
    const waiting = Array.from({ length: engineYieldingMax - 1 }, () => pool.lease(wish(1), later))
    await assert.rejects(pool.lease(wish(1), later), { code: 'engine_busy' })
    controller.abort(new Error('gone'))
    await assert.rejects(gone, /gone/)
    const refused = waiting.map(each => assert.rejects(each, stopped))
    pool.close(stopped)
    await Promise.all(refused)
    clock.advance(2_000)
    answer.release()
    assert.deepEqual(pool.load, { running: 0, waiting: 0 })
    await assert.rejects(pool.lease(wish(1), later), stopped)
  })
})
