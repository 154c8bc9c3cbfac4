import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { engineItemsAheadMax } from '../../../limits.ts'
import { nextTurn } from '../../../std/turn.ts'
import { ItemSender } from './child/item-sender.ts'
import { ChildStream, readStream } from './child-stream.ts'
import type { Items } from './engine-messages.ts'

const { signal } = new AbortController()

/** Both ends of one call, without a process between them. */
function bothEnds(controller = new AbortController()): {
  readonly stream: ChildStream
  readonly sender: ItemSender
  readonly sent: Items[]
} {
  const sent: Items[] = []
  const sender = new ItemSender(
    items => {
      sent.push(items)
      stream.push(items)
    },
    { signal: controller.signal, aheadMax: engineItemsAheadMax },
  )
  const stream = new ChildStream({
    cancel: () => controller.abort(),
    more: count => sender.more(count),
  })
  return { stream, sender, sent }
}

describe('ItemSender and ChildStream', () => {
  it('lose nothing, keep the order, and never run ahead further than allowed', async () => {
    const { stream, sender } = bothEnds()
    const count = engineItemsAheadMax * 5 + 3
    let pushed = 0
    const writing = (async () => {
      for (let tokenId = 0; tokenId < count; tokenId++) {
        pushed += 1
        await sender.push({ method: 'generateTokens', item: { tokenId } })
      }
      sender.flush()
      stream.end()
    })()
    const taken: number[] = []
    for await (const items of readStream(stream, { signal })) {
      assert.ok(items.method === 'generateTokens')
      taken.push(...items.items.map(item => item.tokenId))
      await nextTurn()
      assert.ok(pushed - taken.length <= engineItemsAheadMax, `${pushed} ${taken.length}`)
    }
    await writing
    assert.deepEqual(
      taken,
      Array.from({ length: count }, (_, index) => index),
    )
  })

  it('make a writer wait whose reader does not read', async () => {
    const controller = new AbortController()
    const { sender, sent } = bothEnds(controller)
    let pushed = 0
    const writing = (async () => {
      while (!controller.signal.aborted) {
        pushed += 1
        await sender.push({ method: 'generateTokens', item: { tokenId: pushed } })
      }
    })()
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    assert.equal(pushed, engineItemsAheadMax)
    const sentCount = sent.reduce((sum, { items }) => sum + items.length, 0)
    assert.equal(sentCount, engineItemsAheadMax)
    controller.abort()
    await writing
  })

  it('send what comes in one turn together', async () => {
    const { sender, sent } = bothEnds()
    await sender.push({ method: 'generateTokens', item: { tokenId: 1 } })
    await sender.push({ method: 'generateTokens', item: { tokenId: 2 } })
    assert.equal(sent.length, 0)
    await nextTurn()
    assert.deepEqual(sent, [{ method: 'generateTokens', items: [{ tokenId: 1 }, { tokenId: 2 }] }])
  })
})

describe('readStream()', () => {
  const item: Items = { method: 'generateTokens', items: [{ tokenId: 1 }] }
  const streamWith = (onCancel: () => void): ChildStream =>
    new ChildStream({ cancel: onCancel, more: () => undefined })

  it('waits until the process has let go when its reader walks away', async () => {
    let cancels = 0
    const stream: ChildStream = streamWith(() => {
      cancels += 1
      setImmediate(() => stream.end())
    })
    stream.push(item)
    for await (const _ of readStream(stream, { signal })) break
    assert.equal(cancels, 1)
    await stream.ended
  })

  it('leaves a call alone that shall go on', async () => {
    const stream = streamWith(() => assert.fail('is not cancelled'))
    stream.push(item)
    for await (const _ of readStream(stream, { signal, isLeftAlone: () => true })) break
  })

  it('throws the reason of its signal, whatever the process says', async () => {
    const controller = new AbortController()
    const stream: ChildStream = streamWith(() => stream.end(new Error('cancelled')))
    const reading = Array.fromAsync(readStream(stream, controller))
    controller.abort(new Error('mine'))
    await assert.rejects(reading, { message: 'mine' })
  })

  it('hands out what came before a failure, then throws it', async () => {
    const stream = streamWith(() => undefined)
    stream.push(item)
    stream.end(new Error('gone'))
    const taken: Items[] = []
    await assert.rejects(
      async () => {
        for await (const items of readStream(stream, { signal })) taken.push(items)
      },
      { message: 'gone' },
    )
    assert.deepEqual(taken, [item])
  })
})
