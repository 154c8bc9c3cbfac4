import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { OperationError } from '../../errors.ts'
import {
  blockCodecCompliance,
  largeKind,
  smallKind,
  testBlock,
  testRows,
} from '../../interface/block-codec.compliance.ts'
import { type Log, silentLog } from '../../interface/log.ts'
import { blockJobsMax } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { type CodecThread, codecThreadOf, startCodecThread } from './codec-thread.ts'
import { ThreadedBlockCodec, type ThreadedBlockCodecOptions } from './threaded-block-codec.ts'

const created: ThreadedBlockCodec[] = []

function create(
  options: ThreadedBlockCodecOptions = {},
  clock: VirtualClock = new VirtualClock(),
  log: Log = silentLog,
): ThreadedBlockCodec {
  const codec = new ThreadedBlockCodec({ clock, random: systemRandom, log }, options)
  created.push(codec)
  return codec
}

/** Threads of a test that has failed would keep the process. */
after(() => Promise.all(created.map(codec => codec.stop())))

blockCodecCompliance('ThreadedBlockCodec', create)
blockCodecCompliance('ThreadedBlockCodec without anything in place', () =>
  create({ inlineBytesMax: 0, threadsMax: 1 }),
)

const block = testBlock(smallKind)
const rows = testRows(smallKind)
const large = testBlock(largeKind)
const largeRows = testRows(largeKind)

function failed(why: RegExp): (error: OperationError) => boolean {
  return error => error.code === 'store_failed' && error.retryable && why.test(error.message)
}

/** Counts threads, and ends them while they work. */
function watchedThreads() {
  const workers: Worker[] = []
  const threads: CodecThread[] = []
  const url = new URL('./codec-worker.ts', import.meta.url)
  const startThread = (): CodecThread => {
    const worker = new Worker(url, { execArgv: [] })
    const thread = codecThreadOf(worker)
    workers.push(worker)
    threads.push(thread)
    return thread
  }
  return { workers, threads, startThread }
}

describe('ThreadedBlockCodec', () => {
  it('does small blocks in place, but not many in one turn of the event loop', async () => {
    const { threads, startThread } = watchedThreads()
    const codec = create({ startThread, threadsMax: 1, inlineBytesMax: 3 * rows.length })
    await Promise.all([1, 2, 3].map(() => codec.seal(block, rows)))
    assert.equal(threads.length, 0)
    await new Promise(resolve => setImmediate(resolve))
    await Promise.all([1, 2, 3, 4].map(() => codec.seal(block, rows)))
    assert.equal(threads.length, 1)
    await codec.stop()
  })

  it('warmUp() makes one thread ready, which stays when further ones end for idleness', async () => {
    const { threads, startThread } = watchedThreads()
    const clock = new VirtualClock()
    const codec = create({ startThread, threadsMax: 3, idleMs: 5_000 }, clock)
    codec.warmUp()
    assert.equal(threads.length, 1, 'before there is work')
    await Promise.all([1, 2, 3, 4, 5].map(() => codec.seal(large, largeRows)))
    assert.equal(threads.length, 3)
    clock.advance(4_999)
    await codec.seal(large, largeRows)
    clock.advance(5_000)
    const [first, ...further] = threads
    await Promise.all(further.map(({ ended }) => ended))
    assert.ok(await codec.open(large, await codec.seal(large, largeRows)))
    assert.equal(threads.length, 3, 'it is used again')
    clock.advance(60_000)
    assert.equal(first?.isAlive, true)
    await codec.stop()
    assert.equal(first?.isAlive, false)
  })

  it('a thread that took the place of one that died stays as well', async () => {
    const { workers, threads, startThread } = watchedThreads()
    const clock = new VirtualClock()
    const codec = create({ startThread, threadsMax: 1, idleMs: 5_000 }, clock)
    codec.warmUp()
    await workers[0]?.terminate()
    await codec.seal(large, largeRows)
    clock.advance(5_000)
    assert.ok(await codec.open(large, await codec.seal(large, largeRows)))
    assert.equal(threads.length, 2)
    await codec.stop()
  })

  it('warmUp() logs that its thread cannot be made ready, and the first block tries again', async () => {
    for (const fail of [
      (): CodecThread => {
        throw new Error('no more threads')
      },
      (): CodecThread => codecThreadOf(new Worker(new URL('./no-such-worker.ts', import.meta.url))),
    ]) {
      const warnings: string[] = []
      const warned = Promise.withResolvers<void>()
      const warn = (message: string): void => {
        warnings.push(message)
        if (message === 'block codec not ready ahead') warned.resolve()
      }
      const log = { ...silentLog, warn }
      let starts = 0
      const startThread = (): CodecThread => {
        starts += 1
        return starts === 1 ? fail() : startCodecThread()
      }
      const codec = create({ startThread }, new VirtualClock(), log)
      codec.warmUp()
      await warned.promise
      assert.ok(await codec.open(large, await codec.seal(large, largeRows)))
      assert.equal(starts, 2)
      assert.deepEqual(warnings, ['block codec failed', 'block codec not ready ahead'])
      await codec.stop()
    }
  })

  it('stop() while the thread is made ready says nothing, and leaves none', async () => {
    const { threads, startThread } = watchedThreads()
    const warn = (message: string): void => assert.fail(message)
    const codec = create({ startThread }, new VirtualClock(), { ...silentLog, warn })
    codec.warmUp()
    await codec.stop()
    assert.equal(threads[0]?.isAlive, false)
    await codec.start()
    codec.warmUp()
    assert.ok(await codec.open(large, await codec.seal(large, largeRows)), 'it starts again')
    await codec.stop()
  })

  it("a thread's death fails its job, and the others are done by the next thread", async () => {
    const { workers, threads, startThread } = watchedThreads()
    const codec = create({ startThread, threadsMax: 1 })
    const first = codec.seal(large, largeRows)
    const others = [codec.seal(large, largeRows), codec.seal(large, largeRows)]
    await new Promise(resolve => setImmediate(resolve))
    const ended = workers[0]?.terminate()
    await assert.rejects(first, failed(/thread has ended/))
    await ended
    for (const sealed of await Promise.all(others)) assert.ok(await codec.open(large, sealed))
    assert.equal(threads.length, 2)
    await codec.stop()
  })

  it('a thread that cannot start fails its job, and nothing hangs', async () => {
    const url = new URL('./no-such-worker.ts', import.meta.url)
    let starts = 0
    const codec = create({
      threadsMax: 1,
      startThread: () => {
        starts += 1
        if (starts === 2) throw new Error('no more threads')
        return starts === 1 ? codecThreadOf(new Worker(url)) : startCodecThread()
      },
    })
    const results = await Promise.allSettled([1, 2, 3].map(() => codec.seal(large, largeRows)))
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected', 'fulfilled'],
    )
    for (const { reason } of results.filter(result => result.status === 'rejected')) {
      assert.ok(failed(/thread/)(reason))
    }
    await codec.stop()
  })

  it('refuses what is too much at once', async () => {
    const codec = create({ inlineBytesMax: 0, threadsMax: 1 })
    const all = Array.from({ length: blockJobsMax + 1 }, () => codec.seal(block, rows))
    const results = await Promise.allSettled(all)
    assert.deepEqual(
      results.map(({ status }) => status === 'fulfilled'),
      all.map((_, index) => index < blockJobsMax),
    )
    await assert.rejects(all.at(-1) ?? Promise.resolve(), failed(/too many/))
    assert.ok(await codec.seal(block, rows), 'there is room again')
    await codec.stop()
  })

  it('stop() ends the threads, refuses what waits and all that comes', async () => {
    const { threads, startThread } = watchedThreads()
    const codec = create({ startThread, threadsMax: 1 })
    const shared = new Uint8Array(new SharedArrayBuffer(largeRows.length))
    shared.set(largeRows)
    const jobs = [codec.seal(large, shared), codec.seal(large, shared)]
    await new Promise(resolve => setImmediate(resolve))
    const stopped = codec.stop()
    const results = await Promise.allSettled(jobs)
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
      'what is in hand is finished',
    )
    await stopped
    await Promise.all(threads.map(({ ended }) => ended))
    await assert.rejects(codec.seal(block, rows), failed(/stopped/))
    await assert.rejects(codec.open(large, await seal(large, largeRows)), failed(/stopped/))
  })
})

async function seal(...what: Parameters<ThreadedBlockCodec['seal']>): Promise<Uint8Array> {
  const codec = create()
  try {
    return await codec.seal(...what)
  } finally {
    await codec.stop()
  }
}
