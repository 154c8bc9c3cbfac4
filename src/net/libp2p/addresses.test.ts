import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { assertAnnounced, assertPeerAddresses } from './addresses.ts'

describe('addresses that a person gave', () => {
  it('are refused with the flag and an example when they are none', () => {
    for (const [check, flag] of [
      [assertAnnounced, '--announce'],
      [assertPeerAddresses, '--peers'],
    ] as const) {
      check([])
      check(['/ip4/203.0.113.7/tcp/11501', '/dns4/example.org/tcp/11501'])
      for (const text of [
        'GARBAGE',
        '203.0.113.7:11501',
        '/ip4/999.0.0.1/tcp/1',
        '/ip4/1.2.3.4/tcp/x',
      ]) {
        assert.throws(
          () => check(['/ip4/203.0.113.7/tcp/11501', text]),
          error => {
            assert.equal(Reflect.get(Object(error), 'code'), 'config_invalid')
            const { message } = Object(error)
            assert.ok(message.includes(`'${text}'`) && message.includes(flag), message)
            return true
          },
        )
      }
    }
  })
})
