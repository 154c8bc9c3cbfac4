import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ResidentMirror } from './resident-mirror.ts'

const block = Array.from({ length: 128 }, (_, index) => index)
const other = block.toReversed()

describe('ResidentMirror', () => {
  it('tells whole blocks of one partition, of the sequence that holds most', () => {
    const mirror = new ResidentMirror()
    mirror.note(0, { partition: 'a', tokenIds: block })
    mirror.note(1, { partition: 'a', tokenIds: [...block, ...block] })
    mirror.note(2, { partition: 'b', tokenIds: [...block, ...other] })
    assert.equal(mirror.residentTokens([...block, ...block, 1], 'a'), 256)
    assert.equal(mirror.residentTokens([...block, ...other], 'a'), 128)
    assert.equal(mirror.residentTokens([...block, ...other], 'b'), 256)
    assert.equal(mirror.residentTokens([...block.slice(0, -1), 999], 'a'), 0)
    mirror.clear()
    assert.equal(mirror.residentTokens(block, 'a'), 0)
  })

  it('holds on the other side what is noted on this one, and is told only what is new', () => {
    const tokens = fc.array(fc.nat(2), { maxLength: 300 })
    const change = fc.tuple(fc.nat(1), fc.constantFrom('a', 'b'), tokens)
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), changes => {
        const [here, there] = [new ResidentMirror(), new ResidentMirror()]
        for (const [slot, partition, tokenIds] of changes) {
          const told = here.note(slot, { partition, tokenIds })
          if (told !== undefined) there.apply(structuredClone(told))
          assert.equal(here.note(slot, { partition, tokenIds }), undefined)
          for (const side of [here, there]) {
            const whole = tokenIds.length - (tokenIds.length % 128)
            assert.ok(side.residentTokens(tokenIds, partition) >= whole)
          }
        }
        for (const [, partition, tokenIds] of changes) {
          const [ours, theirs] = [here, there].map(side => side.residentTokens(tokenIds, partition))
          assert.equal(theirs, ours)
        }
      }),
    )
  })

  it('tells a growing prompt by what was added', () => {
    const mirror = new ResidentMirror()
    mirror.note(0, { partition: 'a', tokenIds: block })
    const told = mirror.note(0, { partition: 'a', tokenIds: [...block, ...other] })
    assert.deepEqual(told, { slot: 0, partition: 'a', keep: 128, added: other })
  })
})
