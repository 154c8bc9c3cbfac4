import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { nextTurn } from '../../../std/turn.ts'
import { inOrder } from './in-order.ts'

const { signal } = new AbortController()
const options = { weightOf: (): number => 1, weightMax: 3, signal }

describe('inOrder()', () => {
  it('yields in order whatever ends first, with no more under way than allowed', async () => {
    const scenario = fc.record({
      weights: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 8 }),
      weightMax: fc.integer({ min: 1, max: 10 }),
      seed: fc.scheduler(),
    })
    await fc.assert(
      fc.asyncProperty(scenario, async ({ weights, weightMax, seed }) => {
        let running = 0
        const items = weights.map((weight, index) => ({ weight, index }))
        const work = async (item: { weight: number; index: number }): Promise<number> => {
          running += item.weight
          assert.ok(running <= weightMax || running === item.weight)
          await seed.schedule(Promise.resolve())
          running -= item.weight
          return item.index
        }
        const got: number[] = []
        const reading = (async () => {
          const given = { weightOf: (item: { weight: number }) => item.weight, weightMax, signal }
          for await (const index of inOrder(items, work, given)) got.push(index)
        })()
        await seed.waitFor(reading)
        assert.deepEqual(
          got,
          weights.map((_, index) => index),
        )
      }),
      { numRuns: 50 },
    )
  })

  it('ends before the first item of which nothing came, and ends the work on the others', async () => {
    const ended: number[] = []
    const work = (item: number, ending: AbortSignal): Promise<number | undefined> => {
      if (item === 0) return Promise.resolve(0)
      if (item === 1) return Promise.resolve(undefined)
      return new Promise((_, reject) => {
        ending.addEventListener('abort', () => {
          ended.push(item)
          reject(ending.reason)
        })
      })
    }
    const got: number[] = []
    for await (const value of inOrder([0, 1, 2, 3, 4], work, options)) got.push(value)
    assert.deepEqual(got, [0])
    assert.deepEqual(ended, [2, 3])
  })

  it('throws what the work throws, in its turn, and the reason of the signal', async () => {
    const work = async (item: number): Promise<number> => {
      if (item === 1) throw new RangeError('one')
      return item
    }
    const got: number[] = []
    await assert.rejects(async () => {
      for await (const value of inOrder([0, 1, 2], work, options)) got.push(value)
    }, RangeError)
    assert.deepEqual(got, [0])

    const controller = new AbortController()
    const values = inOrder([0, 2], work, { ...options, signal: controller.signal })
    assert.equal((await values.next()).value, 0)
    controller.abort(new DOMException('Enough', 'AbortError'))
    await assert.rejects(values.next(), { name: 'AbortError' })
  })

  it('ends the work when nobody takes the next one', async () => {
    let isEnded = false
    const work = async (item: number, ending: AbortSignal): Promise<number> => {
      if (item === 0) return 0
      await new Promise(resolve => ending.addEventListener('abort', resolve, { once: true }))
      isEnded = true
      return item
    }
    for await (const _ of inOrder([0, 1], work, options)) break
    await nextTurn()
    assert.ok(isEnded)
  })
})
