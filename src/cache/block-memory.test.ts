import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MiB, readyMemoryIdleMs, spareMemoryBytesMax, spareMemoryIdleMs } from '../limits.ts'
import { SimulatedClock } from '../std/simulated-clock.ts'
import { TaskScope } from '../std/task-scope.ts'
import { BlockMemory } from './block-memory.ts'

function subject(bytesMax?: number) {
  const clock = new SimulatedClock()
  const scope = new TaskScope((task, error) => assert.fail(`${task}: ${error}`))
  const memory = new BlockMemory({ clock, scope }, bytesMax)
  /** As many as are there at once, new ones made for nobody aside. */
  const takeAll = (bytes: number, count: number): readonly Uint8Array[] =>
    Array.from({ length: count }, () => memory.take(bytes))
  return { clock, scope, memory, takeAll }
}

function buffersOf(pieces: readonly Uint8Array[]): ReadonlySet<unknown> {
  return new Set(pieces.map(({ buffer }) => buffer))
}

/** The memory of those that lies in others too. */
function shared(
  pieces: readonly Uint8Array[],
  others: readonly Uint8Array[],
): ReadonlySet<unknown> {
  const all = buffersOf(others)
  return new Set([...buffersOf(pieces)].filter(buffer => all.has(buffer)))
}

describe('BlockMemory', () => {
  it('makes shared memory, each piece another one, as long as asked', () => {
    const { takeAll } = subject()
    const pieces = takeAll(1_000, 3)
    assert.equal(buffersOf(pieces).size, 3)
    for (const { buffer, length } of pieces) {
      assert.equal(length, 1_000)
      assert.ok(buffer instanceof SharedArrayBuffer)
    }
  })

  it('lends again what was given back, whole, but not for what is far smaller', () => {
    const { memory } = subject()
    const first = memory.take(1_000)
    memory.give(first)
    const smaller = memory.take(800)
    assert.equal(smaller.buffer, first.buffer)
    assert.equal(smaller.length, 800)
    assert.notEqual(memory.take(1_000).buffer, first.buffer, 'it is lent to one at a time')
    memory.give(smaller)
    assert.notEqual(memory.take(799).buffer, first.buffer)
    assert.equal(memory.take(1_000).buffer, first.buffer)
  })

  it('keeps so much of what was given back, the newest, and for so long', async () => {
    const { memory, clock, takeAll } = subject()
    const pieces = takeAll(MiB, spareMemoryBytesMax / MiB + 2)
    for (const piece of pieces) memory.give(piece)
    const again = takeAll(MiB, pieces.length)
    assert.deepEqual(shared(again, pieces), buffersOf(pieces.slice(2)))
    for (const piece of again) memory.give(piece)
    await clock.run(spareMemoryIdleMs)
    assert.equal(shared(takeAll(MiB, 1), again).size, 0)
  })

  it('keepReady() makes pieces of a size ready, and again when nothing was taken for a while', async () => {
    const { memory, clock, scope, takeAll } = subject(4 * MiB)
    memory.keepReady(MiB)
    await scope.drain()
    const first = takeAll(MiB - 100, 5)
    const sizes = first.map(({ buffer }) => buffer.byteLength)
    assert.deepEqual(sizes, [MiB, MiB, MiB, MiB, MiB - 100], 'four were ready')
    await clock.run(readyMemoryIdleMs - 1)
    assert.equal(scope.runningCount, 0)
    await clock.run(1)
    await scope.drain()
    const next = takeAll(MiB - 100, 5)
    assert.deepEqual(
      next.map(({ buffer }) => buffer.byteLength),
      sizes,
    )
    assert.equal(buffersOf([...first, ...next]).size, 10)
  })

  it('keeps no more ready than it may, of however many sizes', async () => {
    const { memory, scope, takeAll } = subject(4 * MiB)
    memory.keepReady(MiB)
    await scope.drain()
    memory.keepReady(3 * MiB)
    memory.keepReady(MiB)
    await scope.drain()
    const big = takeAll(3 * MiB - 1, 1).map(({ buffer }) => buffer.byteLength)
    assert.deepEqual(big, [3 * MiB - 1], 'its share is 2 MiB, which is less than one')
    const small = takeAll(MiB - 1, 3).map(({ buffer }) => buffer.byteLength)
    assert.deepEqual(small, [MiB, MiB, MiB - 1], 'the share of each size is half')
  })

  it('keeps ready what it may, whatever is given back', async () => {
    const { memory, clock, scope, takeAll } = subject(4 * MiB)
    memory.keepReady(MiB)
    await scope.drain()
    for (const piece of takeAll(2 * MiB, 9)) memory.give(piece)
    for (const piece of takeAll(spareMemoryBytesMax + 1, 1)) memory.give(piece)
    await clock.run(spareMemoryIdleMs)
    assert.ok(takeAll(MiB - 1, 4).every(({ buffer }) => buffer.byteLength === MiB))
  })

  it('makes ready what it could not before, once more of it is taken', async test => {
    const { memory, clock, scope, takeAll } = subject(4 * MiB)
    const { mock } = test.mock.method(process, 'availableMemory', () => 4 * MiB)
    memory.keepReady(MiB)
    await scope.drain()
    assert.equal(takeAll(MiB - 1, 1)[0]?.buffer.byteLength, MiB - 1)
    mock.restore()
    await clock.run(readyMemoryIdleMs)
    await scope.drain()
    assert.equal(takeAll(MiB - 1, 1)[0]?.buffer.byteLength, MiB)
  })

  it('makes nothing ready where nothing may be kept', async () => {
    const { memory, scope, takeAll } = subject(0)
    memory.keepReady(MiB)
    await scope.drain()
    assert.equal(takeAll(MiB - 1, 1)[0]?.buffer.byteLength, MiB - 1)
  })

  it('close() keeps nothing, nor what is given back or made ready then', async () => {
    const { memory, clock, scope, takeAll } = subject()
    const lent = memory.take(MiB)
    memory.keepReady(MiB)
    memory.close()
    memory.give(lent)
    await scope.drain()
    await clock.run(spareMemoryIdleMs + readyMemoryIdleMs)
    const [piece] = takeAll(MiB - 1, 1)
    assert.equal(piece?.buffer.byteLength, MiB - 1)
  })
})
