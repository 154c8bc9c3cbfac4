import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nextTurn } from '../../std/turn.ts'
import { Slots } from './slots.ts'

/** What became of an `enter`, once it is known. */
function watched(entering: Promise<boolean>): { outcome?: boolean | 'rejected' } {
  const seen: { outcome?: boolean | 'rejected' } = {}
  entering.then(
    mayEnter => {
      seen.outcome = mayEnter
    },
    () => {
      seen.outcome = 'rejected'
    },
  )
  return seen
}

describe('Slots', () => {
  it('enter() lets so many in at once, and the others in their turn', async () => {
    const slots = new Slots({ atOnceMax: 2, waitingMax: 2 })
    const all = [1, 2, 3, 4, 5].map(() => watched(slots.enter(1)))
    await nextTurn()
    const outcomes = () => all.map(({ outcome }) => outcome)
    assert.deepEqual(outcomes(), [true, true, undefined, undefined, false])
    slots.leave()
    await nextTurn()
    assert.deepEqual(outcomes(), [true, true, true, undefined, false])
    slots.leave()
    slots.leave()
    slots.leave()
    await nextTurn()
    assert.deepEqual(outcomes(), [true, true, true, true, false])
    assert.equal(await slots.enter(1), true)
  })

  it('enter() refuses what is too much to wait for', async () => {
    const slots = new Slots({ atOnceMax: 1, waitingMax: 10, waitingBytesMax: 100 })
    await slots.enter(1_000)
    const first = watched(slots.enter(60))
    assert.equal(await slots.enter(41), false)
    const second = watched(slots.enter(40))
    slots.leave()
    await nextTurn()
    assert.deepEqual([first.outcome, second.outcome], [true, undefined])
    assert.equal(await Promise.race([slots.enter(61), nextTurn()]), false)
  })

  it('who does not want to wait any more leaves the queue', async () => {
    const slots = new Slots({ atOnceMax: 1, waitingMax: 1 })
    await slots.enter(1)
    const controller = new AbortController()
    const given = watched(slots.enter(1, controller))
    controller.abort()
    await nextTurn()
    assert.equal(given.outcome, 'rejected')
    const next = watched(slots.enter(1))
    slots.leave()
    await nextTurn()
    assert.equal(next.outcome, true)
    await assert.rejects(slots.enter(1, controller), { name: 'AbortError' })
  })

  it('close() refuses what waits and waits for what runs', async () => {
    const slots = new Slots({ atOnceMax: 1, waitingMax: 5 })
    await slots.enter(1)
    const waiting = watched(slots.enter(1))
    let isClosed = false
    const closing = slots.close().then(() => {
      isClosed = true
    })
    await nextTurn()
    assert.deepEqual([waiting.outcome, isClosed], [false, false])
    slots.leave()
    await closing
    assert.equal(await slots.enter(1), false)
    await slots.close()
  })
})
