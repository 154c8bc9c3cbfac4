import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Identity } from '../identity.ts'
import { chooseLink, type LinkTraits } from './choose-link.ts'

const [a, b] = [1, 2].map(fill => Identity.fromSeed(new Uint8Array(32).fill(fill)).peerId)
assert.ok(a !== undefined && b !== undefined)
const link: fc.Arbitrary<LinkTraits> = fc.record({
  dialer: fc.constantFrom(a, b),
  isRelayed: fc.boolean(),
  connectedMs: fc.nat(),
})

describe('chooseLink()', () => {
  it('is the same on both sides of simultaneous dials, in whatever order they are seen', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (first, second) => {
        const links = [
          { dialer: a, isRelayed: false, connectedMs: first },
          { dialer: b, isRelayed: false, connectedMs: second },
        ]
        assert.equal(chooseLink(links)?.dialer, chooseLink(links.toReversed())?.dialer)
        assert.equal(chooseLink(links)?.dialer, [a, b].toSorted()[0])
      }),
    )
  })

  it('takes a direct connection if there is one', () => {
    fc.assert(
      fc.property(fc.array(link), links => {
        const chosen = chooseLink(links)
        assert.equal(chosen === undefined, links.length === 0)
        const hasDirect = links.some(({ isRelayed }) => !isRelayed)
        if (chosen !== undefined) assert.equal(chosen.isRelayed, !hasDirect)
      }),
    )
  })

  it('stays with what it chose when another of the same kind comes later', () => {
    const old = { dialer: a, isRelayed: false, connectedMs: 1 }
    assert.equal(chooseLink([{ ...old, connectedMs: 2 }, old]), old)
  })
})
