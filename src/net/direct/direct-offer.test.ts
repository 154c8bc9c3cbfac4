import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { decodeDirectOffer, encodeDirectOffer, ticketBytes } from './direct-offer.ts'

const ticket = fc.uint8Array({ minLength: ticketBytes, maxLength: ticketBytes })

describe('direct offer', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 65_535 }), ticket, (port, bytes) => {
        const decoded = decodeDirectOffer(encodeDirectOffer({ port, ticket: bytes }))
        assert.equal(decoded?.port, port)
        assert.deepEqual(Buffer.from(decoded.ticket), Buffer.from(bytes))
      }),
    )
    assert.equal(decodeDirectOffer(encodeDirectOffer(undefined)), undefined)
  })

  it('decodeDirectOffer() refuses every other length, and port 0', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), bytes => {
        const isRight = bytes.length === 2 + ticketBytes && (bytes[0] !== 0 || bytes[1] !== 0)
        try {
          assert.ok(decodeDirectOffer(bytes))
          assert.ok(isRight)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid')
          assert.ok(!isRight)
        }
      }),
    )
    assert.throws(() => decodeDirectOffer(new Uint8Array(2 + ticketBytes)), OperationError)
  })
})
