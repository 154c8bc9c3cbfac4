import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { GdsfQueue, type GdsfWeight, gdsfPriority } from './gdsf-queue.ts'

/** The dumb twin: a list that is searched from end to end. */
class SlowQueue {
  items: { key: string; weight: GdsfWeight; uses: number; priority: number; touch: number }[] = []
  inflation = 0
  touches = 0

  set(key: string, weight: GdsfWeight): void {
    const uses = this.items.find(item => item.key === key)?.uses ?? 1
    this.#place(key, weight, uses)
  }

  use(key: string): boolean {
    const item = this.items.find(candidate => candidate.key === key)
    if (item === undefined) return false
    this.#place(key, item.weight, item.uses + 1)
    return true
  }

  evict(): string | undefined {
    const [first] = this.items
    if (first === undefined) return undefined
    this.inflation = first.priority
    this.remove(first.key)
    return first.key
  }

  remove(key: string): boolean {
    const countBefore = this.items.length
    this.items = this.items.filter(item => item.key !== key)
    return this.items.length < countBefore
  }

  #place(key: string, weight: GdsfWeight, uses: number): void {
    this.remove(key)
    const priority = gdsfPriority(this.inflation, uses, weight)
    this.items.push({ key, weight, uses, priority, touch: this.touches })
    this.touches += 1
    this.items.sort((a, b) => a.priority - b.priority || a.touch - b.touch)
  }
}

const keys = fc.constantFrom(...'abcdefghijkl')
const weights = fc.record({
  costSeconds: fc.constantFrom(0, 0.5, 1, 2, 30, Number.NaN),
  bytes: fc.constantFrom(0, 1, 100, 200, 4_096),
})
const steps = fc.oneof(
  fc.record({ type: fc.constant('set' as const), key: keys, weight: weights }),
  fc.record({ type: fc.constant('use' as const), key: keys }),
  fc.record({ type: fc.constant('remove' as const), key: keys }),
  fc.record({ type: fc.constant('evict' as const) }),
)

describe('GdsfQueue', () => {
  it('does what a sorted list does', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 120 }), script => {
        const queue = new GdsfQueue<string>()
        const twin = new SlowQueue()
        for (const step of script) {
          if (step.type === 'set') {
            queue.set(step.key, step.weight)
            twin.set(step.key, step.weight)
          } else if (step.type === 'evict') assert.equal(queue.evict(), twin.evict())
          else assert.equal(queue[step.type](step.key), twin[step.type](step.key))
          assert.equal(queue.inflation, twin.inflation)
          assert.equal(queue.first()?.key, twin.items[0]?.key)
        }
        const expected = twin.items.toReversed().map(({ key, uses, priority }) => ({
          key,
          uses,
          priority,
        }))
        const actual = queue.toArray().map(({ key, uses, priority }) => ({ key, uses, priority }))
        assert.deepEqual(actual, expected)
      }),
    )
  })

  it('evicts what is cheap per byte first', () => {
    const queue = new GdsfQueue<string>()
    queue.set('dear and small', { costSeconds: 10, bytes: 100 })
    queue.set('cheap and large', { costSeconds: 1, bytes: 1_000 })
    queue.set('dear and large', { costSeconds: 10, bytes: 1_000 })
    const order = [queue.evict(), queue.evict(), queue.evict()]
    assert.deepEqual(order, ['cheap and large', 'dear and large', 'dear and small'])
  })

  it('keeps what is used', () => {
    const queue = new GdsfQueue<string>()
    for (const key of ['a', 'b', 'c']) queue.set(key, { costSeconds: 1, bytes: 100 })
    queue.use('a')
    assert.deepEqual([queue.evict(), queue.evict(), queue.evict()], ['b', 'c', 'a'])
  })

  it('forgets what was valuable once', () => {
    const queue = new GdsfQueue<string>()
    queue.set('old', { costSeconds: 5, bytes: 1 })
    let evicted: string | undefined
    for (let index = 0; index < 10 && evicted !== 'old'; index++) {
      queue.set(`new ${index}`, { costSeconds: 1, bytes: 1 })
      evicted = queue.evict()
    }
    assert.equal(evicted, 'old')
  })

  it('still orders by size and use when nothing costs anything', () => {
    const queue = new GdsfQueue<string>()
    for (const key of ['small', 'large', 'used']) {
      queue.set(key, { costSeconds: 0, bytes: key === 'small' ? 10 : 1_000 })
    }
    queue.use('used')
    assert.deepEqual([queue.evict(), queue.evict(), queue.evict()], ['large', 'used', 'small'])
  })

  it('clear() leaves nothing', () => {
    const queue = new GdsfQueue<string>()
    queue.set('a', { costSeconds: 1, bytes: 1 })
    queue.clear()
    assert.equal(queue.size, 0)
    assert.equal(queue.evict(), undefined)
    assert.equal(queue.use('a'), false)
  })
})
