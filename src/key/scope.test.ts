import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, it } from 'node:test'
import { localScope, parseSwarmTag, swarmScope } from './scope.ts'

const secret = new Uint8Array(32).fill(1)
const other = new Uint8Array(32).fill(2)

describe('swarmScope()', () => {
  it('is equal for equal secrets only, and no local scope', () => {
    assert.deepEqual(swarmScope(secret), swarmScope(Uint8Array.from(secret)))
    assert.notDeepEqual(swarmScope(secret).salt, swarmScope(other).salt)
    assert.notDeepEqual(swarmScope(secret).salt, localScope(secret, undefined).salt)
    const salt = createHmac('sha256', secret).update('hyperspace/scope/swarm/1').digest()
    assert.deepEqual(Buffer.from(swarmScope(secret).salt), salt)
  })

  it('has a tag that tells swarms apart and is no part of the salt', () => {
    const { swarm, salt } = swarmScope(secret)
    assert.ok(swarm)
    assert.equal(parseSwarmTag(swarm), swarm)
    assert.notEqual(swarm, swarmScope(other).swarm)
    assert.ok(!Buffer.from(salt).toString('hex').includes(swarm))
    assert.equal(localScope(secret, undefined).swarm, undefined)
  })
})

describe('parseSwarmTag()', () => {
  it('takes 16 hex digits', () => {
    for (const text of ['', '0'.repeat(15), '0'.repeat(17), 'g'.repeat(16), 'A'.repeat(16)]) {
      assert.equal(parseSwarmTag(text), undefined, text)
    }
  })
})
