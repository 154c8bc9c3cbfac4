import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { testKeys } from '../../interface/directory.compliance.ts'
import type { PeerId } from '../../interface/network.ts'
import type { LookupKey } from '../../key/response-key.ts'
import { directoryAnnounceKeysMax } from '../../limits.ts'
import { addToSum, emptyKeySum } from '../../wire/directory-messages.ts'
import { type Announcement, OwnerOutbox } from './owner-outbox.ts'

const options = { intervalMs: 1_000, renewAfterMs: 900_000 }
const keys = testKeys('outbox', 12)

/** The owner at the other end: does what it is told, and forgets when it is told to. */
class Owner {
  readonly held = new Set<LookupKey>()

  apply({ isReset, added, removed }: Announcement) {
    if (isReset) this.held.clear()
    for (const key of removed) this.held.delete(key)
    for (const key of added) this.held.add(key)
    return { isRefused: false, held: [...this.held].reduce(addToSum, emptyKeySum) }
  }
}

type Step =
  | { readonly type: 'assign' | 'withdraw'; readonly key: LookupKey }
  | { readonly type: 'send'; readonly fate: 'delivered' | 'request lost' | 'reply lost' }
  | { readonly type: 'take' | 'forget' | 'wait' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    type: fc.constantFrom('assign' as const, 'withdraw' as const),
    key: fc.constantFrom(...keys),
  }),
  fc.record({
    type: fc.constant('send' as const),
    fate: fc.constantFrom('delivered' as const, 'request lost' as const, 'reply lost' as const),
  }),
  fc.record({ type: fc.constantFrom('forget' as const, 'wait' as const, 'take' as const) }),
)

describe('OwnerOutbox', () => {
  it('in the end the owner holds what it should, whatever was lost on the way', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const outbox = new OwnerOutbox('peer' as PeerId, options)
        const owner = new Owner()
        const wanted = new Set<LookupKey>()
        let nowMs = 0
        let inFlight: Announcement | undefined
        const send = (fate: 'delivered' | 'request lost' | 'reply lost'): void => {
          const message = inFlight ?? outbox.take(nowMs)
          inFlight = undefined
          if (message === undefined) return
          const reply = fate === 'request lost' ? undefined : owner.apply(message)
          if (fate !== 'delivered' || reply === undefined) outbox.failed(nowMs)
          else outbox.answered(reply, nowMs, () => wanted)
        }
        for (const { type, ...rest } of steps) {
          const key = 'key' in rest ? rest.key : undefined
          if (type === 'assign' && key !== undefined && !wanted.has(key)) {
            wanted.add(key)
            outbox.assign(key)
          } else if (type === 'withdraw' && key !== undefined && wanted.delete(key)) {
            outbox.withdraw(key)
          } else if (type === 'forget') {
            owner.held.clear()
            outbox.check()
          } else if (type === 'wait') nowMs += 10_000
          else if (type === 'take') inFlight ??= outbox.take(nowMs)
          else if (type === 'send') send('fate' in rest ? rest.fate : 'delivered')
        }
        // Longer than the longest pause, and all in all not as long as until a renewal.
        for (let round = 0; round < 8; round++) {
          nowMs += 61_000
          send('delivered')
        }
        assert.deepEqual([...owner.held].sort(), [...wanted].sort())
        assert.equal(outbox.take(nowMs + 61_000), undefined, 'and then it is quiet')
      }),
      { numRuns: 500 },
    )
  })

  it('sends so many keys at a time, and renews at half-life with nothing at all', () => {
    const outbox = new OwnerOutbox('peer' as PeerId, options)
    const owner = new Owner()
    const many = testKeys('many', directoryAnnounceKeysMax + 100)
    for (const key of many) outbox.assign(key)
    const sizes: number[] = []
    for (let nowMs = 0; nowMs < 3_000; nowMs += 1_000) {
      const message = outbox.take(nowMs)
      if (message === undefined) continue
      sizes.push(message.added.length)
      outbox.answered(owner.apply(message), nowMs, () => many)
    }
    assert.deepEqual(sizes, [directoryAnnounceKeysMax, 100])
    assert.equal(outbox.take(900_999), undefined)
    const renewal = outbox.take(901_000)
    assert.deepEqual(renewal, { type: 'announce', isReset: false, added: [], removed: [] })
  })

  it('one message is out at a time', () => {
    const outbox = new OwnerOutbox('peer' as PeerId, options)
    assert.ok(outbox.take(0))
    for (const key of keys) outbox.assign(key)
    assert.equal(outbox.take(1_000_000), undefined)
  })

  it('an owner that always refuses or lies is asked less and less often', () => {
    for (const reply of [
      { isRefused: true, held: emptyKeySum },
      { isRefused: false, held: { count: 7, high: 7, low: 7 } },
    ]) {
      const outbox = new OwnerOutbox('peer' as PeerId, options)
      for (const key of keys) outbox.assign(key)
      let messageCount = 0
      for (let nowMs = 0; nowMs < 600_000; nowMs += 1_000) {
        const message = outbox.take(nowMs)
        if (message === undefined) continue
        messageCount += 1
        outbox.answered(reply, nowMs, () => keys)
      }
      assert.ok(messageCount < 20, `${messageCount} messages in ten minutes`)
    }
  })
})
