import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Lru } from './lru.ts'

describe('Lru', () => {
  it('agrees with a sorted list, whatever is done to it', () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('set' as const),
        key: fc.nat(5),
        units: fc.integer({ min: 1, max: 12 }),
      }),
      fc.record({ do: fc.constant('get' as const), key: fc.nat(5), units: fc.constant(0) }),
      fc.record({ do: fc.constant('peek' as const), key: fc.nat(5), units: fc.constant(0) }),
      fc.record({ do: fc.constant('delete' as const), key: fc.nat(5), units: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.array(step), steps => {
        const lru = new Lru<number, number>(10)
        let twin: { key: number; units: number }[] = []
        for (const { do: what, key, units } of steps) {
          const found = twin.find(entry => entry.key === key)
          const others = twin.filter(entry => entry.key !== key)
          if (what === 'get') {
            assert.equal(lru.get(key), found?.units)
            if (found !== undefined) twin = [...others, found]
          } else if (what === 'peek') {
            assert.equal(lru.peek(key), found?.units)
          } else if (what === 'delete') {
            assert.equal(lru.delete(key), found !== undefined)
            twin = others
          } else {
            lru.set(key, units, units)
            twin = units > 10 ? others : [...others, { key, units }]
            while (twin.reduce((sum, entry) => sum + entry.units, 0) > 10) twin.shift()
          }
          assert.equal(lru.size, twin.length)
          assert.equal(
            lru.units,
            twin.reduce((sum, entry) => sum + entry.units, 0),
          )
        }
      }),
    )
  })
})
