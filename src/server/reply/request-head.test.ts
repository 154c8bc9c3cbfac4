import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { sampleMax } from '../../limits.ts'
import { isPlainHead, parseHead, plainHead } from './request-head.ts'

describe('isPlainHead()', () => {
  it('is true only when no header changes how the request is served', () => {
    assert.equal(isPlainHead({ 'user-agent': 'test', authorization: 'Bearer k' }), true)
    for (const name of ['cache-control', 'x-hyperspace-sample', 'x-hyperspace-scope']) {
      assert.equal(isPlainHead({ [name]: '0' }), false, name)
    }
  })
})

describe('parseHead()', () => {
  it('asks for nothing without headers', () => {
    assert.equal(parseHead({}), plainHead)
  })

  it('reads cache-control as RFC 9111 has it, and ignores what it does not know', () => {
    const control = (text: string): object => parseHead({ 'cache-control': text }).control
    const nothing = { noStore: false, noCache: false, onlyIfCached: false }
    assert.deepEqual(control('No-Store'), { ...nothing, noStore: true })
    assert.deepEqual(control('no-cache, only-if-cached'), {
      ...nothing,
      noCache: true,
      onlyIfCached: true,
    })
    assert.deepEqual(control('max-age="60" ,no-transform'), { ...nothing, maxAgeSeconds: 60 })
    assert.deepEqual(control('max-stale, min-fresh=3'), nothing)
    assert.deepEqual(control(''), nothing)
  })

  it('reads the sample number', () => {
    assert.equal(parseHead({ 'x-hyperspace-sample': '7' }).sample, 7)
    assert.equal(parseHead({ 'x-hyperspace-sample': String(sampleMax) }).sample, sampleMax)
  })

  it('leaves the scope to the guard, which knows what there is to narrow', () => {
    assert.deepEqual(parseHead({ 'x-hyperspace-scope': 'anything' }), plainHead)
  })

  it('refuses wrong values by the name of their header', () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['x-hyperspace-sample', '-1'],
      ['x-hyperspace-sample', '1.5'],
      ['x-hyperspace-sample', ''],
      ['x-hyperspace-sample', String(sampleMax + 1)],
      ['cache-control', 'max-age'],
      ['cache-control', 'max-age=soon'],
    ]
    for (const [field, value] of wrong) {
      assert.throws(() => parseHead({ [field]: value }), { code: 'request_invalid', field })
    }
  })
})
