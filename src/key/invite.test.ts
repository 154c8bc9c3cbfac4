import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { decodeInvite, encodeInvite, type Invite } from './invite.ts'

const invite: Invite = {
  name: 'lab',
  secret: Buffer.alloc(32, 9),
  addresses: ['/ip4/192.0.2.7/tcp/4010/p2p/12D3KooWA'],
  expiresAt: 2_000,
}

describe('invite', () => {
  it('is one line that decodes to what was encoded', () => {
    const line = encodeInvite(invite)
    assert.match(line, /^\S+$/)
    assert.deepEqual(decodeInvite(`  ${line}\n`, 1_000), invite)
  })

  it('says when it has expired, was cut or is something else', () => {
    const line = encodeInvite(invite)
    assert.throws(() => decodeInvite(line, 2_001), {
      code: 'swarm_invite_invalid',
      message: /expired/,
    })
    assert.throws(() => decodeInvite(line.slice(0, -3), 0), { message: /damaged/ })
    assert.throws(() => decodeInvite('hello', 0), { message: /no invite/ })
    assert.throws(() => decodeInvite('hyperspace-swarm-9.abc', 0), { message: /another version/ })
  })

  it('fuzz: a changed invite is refused with swarm_invite_invalid and nothing else', () => {
    const line = encodeInvite(invite)
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.string({ maxLength: 3 }), (at, text) => {
        const changed = line.slice(0, at) + text + line.slice(at + 1)
        try {
          assert.deepEqual(decodeInvite(changed, 0), invite)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'swarm_invite_invalid')
        }
      }),
    )
  })
})
