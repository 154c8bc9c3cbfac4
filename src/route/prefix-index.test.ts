import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { PrefixIndex } from './prefix-index.ts'

type Holder = 'memory' | 'disk' | 'peer'
const holders: readonly Holder[] = ['memory', 'disk', 'peer']

/** The dumb twin: pairs in a list, searched from end to end. */
class SlowIndex {
  pairs: { holder: Holder; key: string }[] = []
  readonly #blocksMax: number

  constructor(blocksMax: number) {
    this.#blocksMax = blocksMax
  }

  add(holder: Holder, key: string): void {
    this.remove(holder, key)
    this.pairs.push({ holder, key })
    const own = this.pairs.filter(pair => pair.holder === holder)
    if (own.length > this.#blocksMax) this.pairs = this.pairs.filter(pair => pair !== own[0])
  }

  remove(holder: Holder, key: string): boolean {
    const before = this.pairs.length
    this.pairs = this.pairs.filter(pair => pair.holder !== holder || pair.key !== key)
    return this.pairs.length < before
  }

  removeHolder(holder: Holder): void {
    this.pairs = this.pairs.filter(pair => pair.holder !== holder)
  }

  has(holder: Holder, key: string): boolean {
    return this.pairs.some(pair => pair.holder === holder && pair.key === key)
  }

  run(holder: Holder, keys: readonly string[]): number {
    const gap = keys.findIndex(key => !this.has(holder, key))
    return gap === -1 ? keys.length : gap
  }

  leading(keys: readonly string[], among: readonly Holder[]): readonly Holder[] {
    const first = keys.map(key => among.filter(holder => this.has(holder, key))[0])
    const gap = first.indexOf(undefined)
    return first.slice(0, gap === -1 ? first.length : gap).flatMap(found => found ?? [])
  }
}

const key = fc.constantFrom(...'abcdefgh')
const holder = fc.constantFrom(...holders)
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('add' as const), holder, key }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('remove' as const), holder, key }) },
  fc.record({ type: fc.constant('removeHolder' as const), holder }),
)

describe('PrefixIndex', () => {
  it('does what a list that is searched from end to end does', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.uniqueArray(key),
        fc.shuffledSubarray([...holders]),
        (script, prompt, among) => {
          const index = new PrefixIndex<Holder>(5)
          const twin = new SlowIndex(5)
          for (const { type, ...what } of script) {
            if (type === 'removeHolder') {
              index.removeHolder(what.holder)
              twin.removeHolder(what.holder)
            } else if ('key' in what) {
              assert.equal(index[type](what.holder, what.key), twin[type](what.holder, what.key))
            }
          }
          for (const each of holders) {
            assert.equal(index.run(each, prompt), twin.run(each, prompt))
            assert.equal(index.count(each), twin.pairs.filter(pair => pair.holder === each).length)
          }
          assert.deepEqual(index.leading(prompt, among), twin.leading(prompt, among))
        },
      ),
    )
  })

  it('takes each block from the first tier that has it, up to the first gap', () => {
    const index = new PrefixIndex<Holder>(100)
    for (const name of ['a', 'b', 'd']) index.add('disk', name)
    index.add('memory', 'b')
    index.add('memory', 'c')
    assert.deepEqual(index.leading(['a', 'b', 'c', 'd', 'e'], ['memory', 'disk']), [
      'disk',
      'memory',
      'memory',
      'disk',
    ])
    assert.equal(index.run('disk', ['a', 'b', 'c', 'd']), 2)
    assert.equal(index.run('memory', ['a', 'b']), 0, 'a run begins at the front')
  })
})
