import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { swarmScope } from '../../../key/scope.ts'
import { blobNoteBytesMax, blockIndexMax } from '../../../limits.ts'
import { type BlockNote, decodeNote, encodeNote, isTrusted } from './block-note.ts'

const issuer = peerIdOfPublicKey(new Uint8Array(32).fill(9))
const run = '0123456789abcdef'
const { swarm } = swarmScope(new Uint8Array(32))

const indices = fc.integer({ min: 0, max: blockIndexMax })
const notes = fc
  .record({
    index: indices,
    type: fc.constantFrom('own' as const, 'peer' as const, 'based' as const),
    before: indices,
    isAudited: fc.boolean(),
    isShared: fc.boolean(),
  })
  .map(({ index, type, before, isAudited, isShared }): BlockNote => {
    const upTo = type === 'peer' ? index : Math.min(index, before)
    const origin: BlockNote['origin'] =
      type === 'own' ? { type } : { type, issuer, run, upTo, isAudited }
    return { index, origin, ...(isShared && swarm !== undefined ? { swarm } : {}) }
  })

describe('decodeNote()', () => {
  it('reads what encodeNote() wrote', () => {
    fc.assert(
      fc.property(notes, note => {
        const bytes = encodeNote(note)
        assert.ok(bytes.length <= blobNoteBytesMax)
        assert.deepEqual(decodeNote(bytes), note)
      }),
    )
  })

  it('takes nothing that was altered for something better, and never throws', () => {
    fc.assert(
      fc.property(notes, fc.nat(), fc.nat(255), (note, at, byte) => {
        const bytes = Uint8Array.from(encodeNote(note))
        bytes[at % bytes.length] = byte
        const read = decodeNote(bytes)
        const isBetter = read !== undefined && isTrusted(read.origin) && !isTrusted(note.origin)
        assert.ok(!isBetter)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        assert.equal(decodeNote(bytes), undefined)
      }),
    )
    const forms = fc.array(fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)))
    fc.assert(
      fc.property(forms, fields => {
        decodeNote(Buffer.from(JSON.stringify(fields)))
      }),
    )
  })
})
