import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inboundPendingMax } from '../../limits.ts'
import { PendingPlaces, sourceOf } from './pending-places.ts'

describe('PendingPlaces', () => {
  it('enter() refuses an address that has its share, until it leaves', () => {
    const places = new PendingPlaces(2)
    const leave = places.enter('192.0.2.1')
    assert.ok(leave)
    assert.ok(places.enter('192.0.2.1'))
    assert.equal(places.enter('192.0.2.1'), undefined)
    assert.ok(places.enter('192.0.2.2'))
    leave()
    assert.ok(places.enter('192.0.2.1'))
    assert.equal(places.enter('192.0.2.1'), undefined)
  })

  it('enter() refuses everybody when all places are taken', () => {
    const places = new PendingPlaces(2)
    for (let index = 0; index < inboundPendingMax; index++) {
      assert.ok(places.enter(`198.51.${index >> 8}.${index % 256}`))
    }
    assert.equal(places.enter('192.0.2.1'), undefined)
  })

  it('sourceOf() is the address, or the network of an IPv6 one', () => {
    const cases = [
      ['192.0.2.1', '192.0.2.1'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
      ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
      ['2001:db8::6', '2001:db8:0:0'],
      ['fe80::1', 'fe80:0:0:0'],
      ['::1', '0:0:0:0'],
      ['2001:db8:1:2::', '2001:db8:1:2'],
    ] as const
    for (const [address, source] of cases) assert.equal(sourceOf(address), source)
  })
})
