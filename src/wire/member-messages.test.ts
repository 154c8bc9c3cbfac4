import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { peerIdOfPublicKey } from '../key/peer-id.ts'
import { addressesPerMemberMax, addressTextMax, membersToldMax } from '../limits.ts'
import {
  decodeAddresses,
  decodeMembers,
  encodeAddresses,
  encodeMembers,
} from './member-messages.ts'

const peer = peerIdOfPublicKey(new Uint8Array(32).fill(4))
const address = '/ip4/127.0.0.1/tcp/11501'

const members = fc.array(
  fc
    .tuple(
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map(peerIdOfPublicKey),
      fc.array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: addressesPerMemberMax }),
    )
    .map(([id, addresses]) => ({ peer: id, addresses })),
  { maxLength: 8 },
)

describe('member messages', () => {
  it('say what they were told', () => {
    fc.assert(
      fc.property(members, told => {
        const [first] = told
        const { addresses } = first ?? { addresses: [] }
        assert.deepEqual(decodeMembers(encodeMembers(told)), told)
        assert.deepEqual(decodeAddresses(encodeAddresses(addresses)), addresses)
      }),
    )
  })

  it('leave out what is too much or too long', () => {
    const crowd = Array.from({ length: membersToldMax + 9 }, () => ({ peer, addresses: [address] }))
    assert.equal(decodeMembers(encodeMembers(crowd)).length, membersToldMax)
    const many = Array.from({ length: addressesPerMemberMax + 9 }, () => address)
    assert.equal(decodeAddresses(encodeAddresses(many)).length, addressesPerMemberMax)
    assert.deepEqual(decodeAddresses(encodeAddresses(['x'.repeat(addressTextMax + 1), ''])), [])
  })

  it('of a stranger’s making never do more than fail', () => {
    const valid = encodeMembers([{ peer, addresses: [address, address] }])
    const cut = fc.nat({ max: valid.length - 1 }).map(end => valid.subarray(0, end))
    const changed = fc
      .tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }))
      .map(([at, byte]) => valid.with(at, byte))
    const longer = fc.uint8Array({ minLength: 1 }).map(tail => Buffer.concat([valid, tail]))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), cut, changed, longer), body => {
        for (const decode of [decodeMembers, decodeAddresses]) {
          try {
            decode(body)
          } catch (error) {
            assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid')
          }
        }
      }),
      { numRuns: 1_000 },
    )
    assert.throws(() => decodeMembers(Buffer.from('ffff', 'hex')), { code: 'peer_message_invalid' })
  })
})
