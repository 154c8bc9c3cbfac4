import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { dialTimeoutMs } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { nextTurn } from '../../std/turn.ts'
import { PeerLinks } from '../session/peer-links.ts'
import { Dialer } from './dialer.ts'

const { signal } = new AbortController()
const webRtc = '/ip4/127.0.0.1/tcp/1/p2p-circuit/webrtc'

/** A dialer over a library whose dials end as the test likes. */
function dialerWith(dial: (signal: AbortSignal | undefined) => Promise<never>) {
  const clock = new VirtualClock()
  const state = { dials: 0 }
  const dialer = new Dialer({
    clock,
    links: new PeerLinks(clock, new TaskScope(() => undefined)),
    dial: (_, options) => {
      state.dials += 1
      return dial(options?.signal)
    },
    knowsAddress: async () => true,
    opened: () => Promise.reject(new Error('Nothing is opened')),
  })
  return { dialer, clock, state }
}

function hanging(given: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    given?.addEventListener('abort', () => reject(given.reason))
  })
}

describe('Dialer', () => {
  it('dials again when the dial that it had joined was given up by another', async () => {
    const abort = new DOMException('given up', 'AbortError')
    for (const error of [abort, new AggregateError([new Error('no way'), abort])]) {
      const { dialer, state } = dialerWith(() => Promise.reject(error))
      const dialled = dialer.dialAddress('/ip4/127.0.0.1/tcp/1', signal)
      await assert.rejects(dialled, { code: 'peer_unreachable' })
      assert.equal(state.dials, 3)
    }
  })

  it('does not dial again after any other failure, nor when it is not wanted any more', async () => {
    const refused = dialerWith(() => Promise.reject(new Error('refused')))
    const dialled = refused.dialer.dialAddress(webRtc, signal)
    await assert.rejects(dialled, { code: 'peer_unreachable' })
    const controller = new AbortController()
    const unwanted = dialerWith(hanging)
    const left = unwanted.dialer.dialAddress('/ip4/127.0.0.1/tcp/1', controller.signal)
    controller.abort(new DOMException('enough', 'AbortError'))
    await assert.rejects(left, { message: 'enough' })
    assert.deepEqual([refused.state.dials, unwanted.state.dials], [1, 1])
  })

  it('gives a WebRTC dial that hangs two more attempts within its time', async () => {
    const { dialer, clock, state } = dialerWith(hanging)
    const dialled = assert.rejects(dialer.dialAddress(webRtc, signal), { code: 'peer_unreachable' })
    for (const dials of [1, 2, 3]) {
      await nextTurn()
      assert.equal(state.dials, dials)
      clock.advance(dialTimeoutMs / 3)
    }
    await dialled
    assert.equal(state.dials, 3)
  })

  it('waits for any other dial as long as it may take', async () => {
    const { dialer, clock, state } = dialerWith(hanging)
    const dialled = assert.rejects(dialer.dialAddress('/ip4/127.0.0.1/tcp/1', signal), {
      code: 'peer_unreachable',
    })
    clock.advance(dialTimeoutMs - 1)
    await nextTurn()
    assert.equal(state.dials, 1)
    clock.advance(1)
    await dialled
  })
})
