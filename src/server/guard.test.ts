import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../errors.ts'
import { Guard, type GuardOptions } from './guard.ts'

const adminToken = 'admin-token'

function guard(options: Partial<GuardOptions> = {}): Guard {
  const nodeSecret = new Uint8Array(32).fill(1)
  return new Guard({ apiKeys: [], allowOrigins: [], nodeSecret, isLoopback: true, ...options })
}

describe('Guard.scopeOf()', () => {
  it('takes any key or none where none is configured, all in one scope', () => {
    const open = guard()
    assert.equal(open.scopeOf({}), open.scopeOf({ authorization: 'Bearer whatever' }))
  })

  it('gives each key a scope of its own, the same for both header forms', () => {
    const closed = guard({ apiKeys: ['one', 'two'] })
    const one = closed.scopeOf({ authorization: 'Bearer one' })
    assert.equal(closed.scopeOf({ authorization: 'bearer  one' }), one)
    assert.equal(closed.scopeOf({ 'x-api-key': 'one' }), one)
    assert.notDeepEqual(closed.scopeOf({ 'x-api-key': 'two' }).salt, one.salt)
    assert.notDeepEqual(guard().scopeOf({}).salt, one.salt)
  })

  it('refuses a missing, a wrong and a half key', () => {
    const closed = guard({ apiKeys: ['one'] })
    const wrong = [
      {},
      { authorization: 'Bearer on' },
      { authorization: 'one' },
      { 'x-api-key': '' },
    ]
    for (const headers of wrong) {
      assert.throws(() => closed.scopeOf(headers), { code: 'unauthorized', message: /API key/ })
    }
  })
})

describe('Guard.scopeFor()', () => {
  it('asks for the admin token at admin endpoints, even where no API keys are', () => {
    const open = guard()
    const headers = { authorization: `Bearer ${adminToken}` }
    assert.equal(open.scopeFor('admin', headers, adminToken), open.scopeOf({}))
    assert.throws(() => open.scopeFor('admin', {}, adminToken), { code: 'unauthorized' })
  })

  it('does not take an API key for the admin token', () => {
    const closed = guard({ apiKeys: ['one'] })
    const headers = { authorization: 'Bearer one' }
    assert.throws(() => closed.scopeFor('admin', headers, adminToken), { code: 'unauthorized' })
  })

  it('leaves open endpoints open and client endpoints to the API keys', () => {
    const closed = guard({ apiKeys: ['one'] })
    assert.ok(closed.scopeFor('nobody', {}, adminToken))
    assert.throws(() => closed.scopeFor('client', {}, adminToken), { code: 'unauthorized' })
  })
})

describe('Guard.checkOrigin()', () => {
  const allows = (wall: Guard, headers: { origin?: string; host?: string }): boolean => {
    try {
      wall.checkOrigin(headers)
      return true
    } catch (error) {
      assert.ok(error instanceof OperationError && error.code === 'forbidden')
      return false
    }
  }

  it('lets pages of this machine in and those of others out', () => {
    const local = [
      'http://localhost:3000',
      'http://127.0.0.1',
      'http://[::1]:80',
      'http://a.localhost',
    ]
    for (const origin of local) assert.equal(allows(guard(), { origin }), true, origin)
    const foreign = ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'file://']
    for (const origin of foreign) assert.equal(allows(guard(), { origin }), false, origin)
  })

  it('lets in the origins that were allowed', () => {
    const origin = 'https://app.example'
    assert.equal(allows(guard({ allowOrigins: [origin] }), { origin }), true)
    assert.equal(allows(guard({ allowOrigins: ['*'] }), { origin }), true)
    assert.equal(allows(guard({ allowOrigins: ['https://other.example'] }), { origin }), false)
  })

  it('answers to names of loopback only while it listens there (DNS rebinding)', () => {
    const names = ['localhost:11500', '127.0.0.1:11500', '[::1]:11500', 'LOCALHOST']
    for (const host of names) assert.equal(allows(guard(), { host }), true, host)
    assert.equal(allows(guard(), { host: 'rebound.example:11500' }), false)
    assert.equal(allows(guard({ isLoopback: false }), { host: 'node.example' }), true)
  })
})
