import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PlainEndpoint } from './endpoint.ts'
import { Router } from './router.ts'

function endpoint(name: string): PlainEndpoint {
  const handle = (): { readonly body: string } => ({ body: name })
  return { kind: 'plain', api: 'other', access: 'nobody', encodeError: () => name, handle }
}

const list = endpoint('list')
const one = endpoint('one')
const make = endpoint('make')
const remove = endpoint('remove')

function router(): Router {
  const made = new Router()
  made.add('GET', '/v1/models', list)
  made.add('POST', '/v1/models', make)
  made.add('GET', '/v1/models/*', one)
  made.add('DELETE', '/v1/models/*', remove)
  return made
}

describe('Router', () => {
  it('finds an exact path by its method', () => {
    assert.equal(router().find('GET', '/v1/models').endpoint, list)
    assert.equal(router().find('POST', '/v1/models').endpoint, make)
  })

  it('takes slashes at the end for nothing', () => {
    assert.equal(router().find('GET', '/v1/models//').endpoint, list)
  })

  it('answers HEAD as GET', () => {
    assert.equal(router().find('HEAD', '/v1/models').endpoint, list)
    assert.equal(router().find('HEAD', '/v1/models/a').endpoint, one)
  })

  it('hands on what follows a prefix, decoded', () => {
    const found = router().find('GET', '/v1/models/hf.co/org%2Frepo%3Aq8')
    assert.deepEqual(found, { endpoint: one, rest: 'hf.co/org/repo:q8' })
    assert.equal(router().find('DELETE', '/v1/models/x').endpoint, remove)
  })

  it('keeps an escape that cannot be decoded as it came', () => {
    assert.equal(router().find('GET', '/v1/models/100%').rest, '100%')
  })

  it('refuses what is not there, without control characters of the path', () => {
    assert.throws(() => router().find('GET', '/v2/\n\x1b[31m'), {
      code: 'not_found',
      message: 'There is nothing at /v2/??[31m',
    })
  })

  it('names the methods that a path takes', () => {
    assert.throws(() => router().find('PUT', '/v1/models'), {
      code: 'method_not_allowed',
      message: /does not take PUT; it takes GET, HEAD, POST$/,
    })
    assert.deepEqual(router().methodsAt('/v1/models/a'), ['GET', 'HEAD', 'DELETE'])
    assert.deepEqual(router().methodsAt('/nowhere'), [])
  })
})
