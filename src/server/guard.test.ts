import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../errors.ts'
import { type Scope, swarmScope } from '../key/scope.ts'
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

describe('Guard.scopeOf() in a swarm', () => {
  const shared = swarmScope(new Uint8Array(32).fill(3))
  const sharing = (more: Partial<GuardOptions> = {}): Guard =>
    guard({ sharedScope: () => shared, ...more })

  it('is the swarm’s, for all API keys, unless the request narrows it', () => {
    const node = sharing({ apiKeys: ['one', 'two'] })
    const own = guard({ apiKeys: ['one', 'two'] })
    for (const key of ['one', 'two']) {
      const headers = { 'x-api-key': key }
      assert.equal(node.scopeOf(headers), shared)
      assert.equal(node.scopeOf({ ...headers, 'x-hyperspace-scope': 'swarm' }), shared)
      const local = node.scopeOf({ ...headers, 'x-hyperspace-scope': 'local' })
      assert.deepEqual(local, own.scopeOf(headers))
    }
  })

  it('asks for the API key all the same', () => {
    const node = sharing({ apiKeys: ['one'] })
    assert.throws(() => node.scopeOf({}), { code: 'unauthorized' })
    assert.throws(() => node.scopeOf({ 'x-hyperspace-scope': 'swarm' }), { code: 'unauthorized' })
  })

  it('refuses what it cannot narrow to, and a swarm where there is none', () => {
    for (const scope of ['public', '', 'LOCAL', 'swarm, local', '__proto__']) {
      const headers = { 'x-hyperspace-scope': scope }
      assert.throws(() => sharing().scopeOf(headers), { code: 'request_invalid' }, scope)
    }
    const alone = guard({ sharedScope: () => undefined })
    assert.throws(() => alone.scopeOf({ 'x-hyperspace-scope': 'swarm' }), /must be 'local'/)
    assert.equal(alone.scopeOf({}).name, 'local')
  })

  it('follows the node into a swarm and out of it', () => {
    let joined: Scope | undefined
    const node = guard({ sharedScope: () => joined })
    assert.equal(node.scopeOf({}).name, 'local')
    joined = shared
    assert.equal(node.scopeOf({}), shared)
    joined = undefined
    assert.equal(node.scopeOf({}).name, 'local')
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
