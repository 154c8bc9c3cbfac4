import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { delay, VirtualClock } from './clock.ts'
import { isAbort, linkSignal, settlesWithin } from './signal.ts'

describe('linkSignal()', () => {
  it('fires with the reason of the parent that fired', () => {
    const [one, two] = [new AbortController(), new AbortController()]
    const linked = linkSignal(new VirtualClock(), [one.signal, undefined, two.signal])
    two.abort('because')
    assert.equal(linked.signal.aborted, true)
    assert.equal(linked.signal.reason, 'because')
  })

  it('fires at once for a parent that has fired, and after its timeout', () => {
    const clock = new VirtualClock()
    assert.equal(linkSignal(clock, [AbortSignal.abort('before')]).signal.reason, 'before')
    const timed = linkSignal(clock, [], 100)
    clock.advance(99)
    assert.equal(timed.signal.aborted, false)
    clock.advance(1)
    assert.ok(isAbort(timed.signal.reason))
  })

  it('lets go of parents and timer when disposed', () => {
    const clock = new VirtualClock()
    const parent = new AbortController()
    const linked = linkSignal(clock, [parent.signal], 100)
    linked[Symbol.dispose]()
    parent.abort()
    clock.advance(1_000)
    assert.equal(linked.signal.aborted, false)
  })
})

describe('settlesWithin()', () => {
  it('tells whether a promise settles in time, either way', async () => {
    const clock = new VirtualClock()
    assert.equal(await settlesWithin(clock, Promise.resolve(), 10), true)
    assert.equal(await settlesWithin(clock, Promise.reject(new Error('x')), 10), true)
    const never = settlesWithin(clock, new Promise(() => undefined), 10)
    clock.advance(10)
    assert.equal(await never, false)
  })
})

describe('delay()', () => {
  it('ends early with the reason of its signal', async () => {
    const clock = new VirtualClock()
    const controller = new AbortController()
    const waiting = delay(clock, 1_000, controller.signal)
    controller.abort(new Error('stop'))
    await assert.rejects(waiting, /stop/)
    const whole = delay(clock, 10, new AbortController().signal)
    clock.advance(10)
    await whole
  })
})
