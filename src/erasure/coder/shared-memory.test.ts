import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededBytes } from '../../../test/support/seeded-random.ts'
import { codingCopyBytes } from '../../limits.ts'
import { copyInTurns, newShared, toShared } from './shared-memory.ts'

const { signal } = new AbortController()

describe('copyInTurns()', () => {
  it('copies everything, and lets the event loop turn after each piece', async () => {
    const sources = [10, 0, codingCopyBytes - 10, codingCopyBytes, 2 * codingCopyBytes + 3].map(
      (bytes, index) => new Uint8Array(bytes).fill(index + 1),
    )
    const copies = sources.map(source => ({ source, target: newShared(source.length) }))
    let turns = 0
    const count = (): void => {
      turns += 1
      counting = setImmediate(count)
    }
    let counting = setImmediate(count)
    await copyInTurns(copies, signal)
    clearImmediate(counting)
    for (const { source, target } of copies) assert.equal(Buffer.compare(source, target), 0)
    assert.ok(turns >= 4, `${turns} turns for four pieces`)
  })

  it('stops when the signal fires', async () => {
    const controller = new AbortController()
    const target = newShared(4 * codingCopyBytes)
    const source = new Uint8Array(target.length).fill(1)
    const copying = copyInTurns([{ source, target }], controller.signal)
    controller.abort(new Error('enough'))
    await assert.rejects(copying, /enough/)
    assert.equal(target.at(codingCopyBytes - 1), 1)
    assert.equal(target.at(codingCopyBytes), 0)
  })
})

describe('toShared()', () => {
  it('copies only what threads do not see', async () => {
    const shared = newShared(5)
    const ordinary = seededBytes(1, 7)
    const [first, second] = await toShared([shared, ordinary], signal)
    assert.equal(first, shared)
    assert.ok(second?.buffer instanceof SharedArrayBuffer)
    assert.deepEqual([...second], [...ordinary])
  })
})
