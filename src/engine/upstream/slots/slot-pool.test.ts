import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isBeginning, reusableTokens, type SlotContent, SlotPool } from './slot-pool.ts'

const { signal } = new AbortController()
const range = (length: number, from = 0): number[] =>
  Array.from({ length }, (_, index) => from + index)
const held = (partition: string, tokenIds: readonly number[], answer = 0): SlotContent => {
  const heldTokens = tokenIds.length + answer
  return { partition, tokenIds, exactTokens: tokenIds.length, heldTokens }
}
const asked = (partition: string, tokenIds: readonly number[]) => ({ partition, tokenIds })

describe('SlotPool', () => {
  it('lends the slot that saves most, else the one unused longest', async () => {
    const pool = new SlotPool(3)
    const prompts = [range(300), range(300, 1_000), range(300, 2_000)]
    for (const tokenIds of prompts) {
      const lease = await pool.lease(asked('a', tokenIds), { signal })
      lease.release(held('a', tokenIds))
    }
    const idOf = async (partition: string, tokenIds: readonly number[]): Promise<number> => {
      const lease = await pool.lease(asked(partition, tokenIds), { signal })
      lease.release(lease.content)
      return lease.id
    }
    assert.equal(await idOf('a', [...range(300, 1_000), 7]), 1)
    assert.equal(await idOf('b', range(300, 1_000)), 0, 'nothing is lent for its tokens')
    assert.equal(await idOf('a', [7]), 2)
  })

  it('lends in turn while all are busy, and forgets who stops waiting', async () => {
    const pool = new SlotPool(1)
    const first = await pool.lease(asked('a', [1]), { signal })
    const controller = new AbortController()
    const gone = pool.lease(asked('b', [1]), controller)
    const order: string[] = []
    const waiting = ['c', 'd'].map(async name => {
      const lease = await pool.lease(asked(name, [1]), { signal })
      order.push(name)
      lease.release(lease.content)
    })
    controller.abort()
    await assert.rejects(gone, { name: 'AbortError' })
    assert.throws(() => pool.leaseIdle(), { code: 'engine_busy' })
    first.release(first.content)
    await Promise.all(waiting)
    assert.deepEqual(order, ['c', 'd'])
    const idle = pool.leaseIdle()
    idle.release(idle.content)
  })

  it('leaseHolder() lends what holds enough, and nothing else', async () => {
    const pool = new SlotPool(2)
    const lease = await pool.lease(asked('a', range(300)), { signal })
    assert.equal(pool.leaseHolder(asked('a', range(300)), 256), undefined)
    lease.release({ ...held('a', range(300)), exactTokens: 256 })
    assert.equal(pool.leaseHolder(asked('a', range(300)), 257), undefined)
    assert.equal(pool.leaseHolder(asked('b', range(300)), 256), undefined)
    const holder = pool.leaseHolder(asked('a', range(300)), 256)
    assert.equal(holder?.id, lease.id)
    assert.equal(pool.leaseHolder(asked('a', range(300)), 256), undefined, 'it is lent')
  })

  it('isAlone() tells whether anything else was lent meanwhile', async () => {
    const pool = new SlotPool(2)
    const first = await pool.lease(asked('a', [1]), { signal })
    assert.equal(first.isAlone(), true)
    const second = await pool.lease(asked('a', [2]), { signal })
    assert.deepEqual([first.isAlone(), second.isAlone()], [false, false])
    second.release(second.content)
    assert.equal(first.isAlone(), false)
    first.release(first.content)
    const third = await pool.lease(asked('a', [1]), { signal })
    assert.equal(third.isAlone(), true)
    pool.forget()
    assert.equal(third.isAlone(), false)
  })

  it('forget() leaves nothing to begin from, in slots that are lent either', async () => {
    const pool = new SlotPool(2)
    const first = await pool.lease(asked('a', range(300)), { signal })
    first.release(held('a', range(300)))
    const lent = await pool.lease(asked('a', range(300, 1_000)), { signal })
    pool.forget()
    lent.release(held('a', range(300, 1_000)))
    assert.deepEqual(
      pool.contents.map(({ partition }) => partition),
      [undefined, undefined],
    )
  })

  it('reusableTokens() counts what the server would begin from', () => {
    const content = held('a', range(300), 99)
    assert.equal(reusableTokens(content, asked('a', range(500))), 300)
    assert.equal(reusableTokens(content, asked('b', range(500))), 0, 'of another partition')
    assert.equal(reusableTokens(content, asked('a', range(199))), 0, 'half of 399 and no more')
    assert.equal(reusableTokens(content, asked('a', range(200))), 200)
    assert.equal(reusableTokens(content, asked('a', range(2_400))), 300)
    assert.equal(reusableTokens(content, asked('a', range(2_401))), 0, 'little of the prompt')
    assert.equal(isBeginning(0, 0, 0), false)
  })
})
