import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { seededBytes } from '../../../test/support/seeded-random.ts'
import { until } from '../../../test/support/until.ts'
import { codingMax, codingWaitingMax, MiB } from '../../limits.ts'
import { VirtualClock } from '../../std/clock.ts'
import { startCoderWorker } from './coder-thread.ts'
import { createShardCoder } from './create-shard-coder.ts'
import type { ShardCoder } from './shard-coder.ts'

const unaborted = new AbortController().signal
const options = { signal: unaborted }
const shape = { dataShards: 4, parityShards: 2 }
const idleMs = 1_000
const small = seededBytes(1, 1_000)
const large = seededBytes(2, MiB)

/** A thread that runs these lines instead of the coder's. */
function workerOf(code: string): () => Worker {
  return () => new Worker(code, { eval: true })
}

const dying = workerOf(
  "require('node:worker_threads').parentPort.once('message', () => process.exit(3))",
)
const silent = workerOf("require('node:worker_threads').parentPort.on('message', () => {})")

interface Bed {
  readonly coder: ShardCoder
  readonly clock: VirtualClock
  readonly workers: Worker[]
}

/** A coder whose threads are started by each of `starts`, then by the last for ever. */
async function startedBed(
  threads: number,
  starts: readonly (() => Worker)[] = [startCoderWorker],
): Promise<Bed> {
  const clock = new VirtualClock()
  const workers: Worker[] = []
  const startWorker = (): Worker => {
    const start = starts[workers.length] ?? starts.at(-1) ?? startCoderWorker
    const worker = start()
    workers.push(worker)
    return worker
  }
  const coder = createShardCoder({ threads, idleMs, clock, startWorker })
  await coder.start(options)
  return { coder, clock, workers }
}

/** A thread that has ended has no number any more. */
function aliveOf(workers: readonly Worker[]): number {
  return workers.filter(({ threadId }) => threadId !== -1).length
}

function hasCode(code: string): (error: unknown) => boolean {
  return error => error instanceof Error && 'code' in error && error.code === code
}

describe('the threads of a shard coder', () => {
  it('warmUp() starts the threads before there is work, which then finds them', async () => {
    const { coder, clock, workers } = await startedBed(2)
    coder.warmUp()
    assert.equal(workers.length, 2)
    coder.warmUp()
    await coder.encode(large, shape, options)
    assert.equal(workers.length, 2)
    coder.warmUp()
    await coder.encode(small, shape, options)
    await until(() => {
      clock.advance(idleMs)
      return aliveOf(workers) === 0
    }, unaborted)
    await coder.stop()
  })

  it('warmUp() leaves it to the work that comes to tell of threads that die', async () => {
    const { coder, workers } = await startedBed(1, [dying, startCoderWorker])
    coder.warmUp()
    await until(() => aliveOf(workers) === 0, unaborted)
    assert.ok(await coder.encode(large, shape, options))
    assert.equal(workers.length, 2)
    await coder.stop()
    const failing = createShardCoder({
      threads: 1,
      startWorker: () => {
        throw new Error('no more threads')
      },
    })
    await failing.start(options)
    failing.warmUp()
    await assert.rejects(failing.encode(large, shape, options), hasCode('coding_failed'))
    await failing.stop()
  })

  it('warmUp() does nothing where there are no threads, or it was not started', async () => {
    const { coder, workers } = await startedBed(0)
    coder.warmUp()
    await coder.stop()
    const { coder: stopped, workers: others } = await startedBed(1)
    await stopped.stop()
    stopped.warmUp()
    assert.deepEqual([workers.length, others.length], [0, 0])
  })

  it('warmUp() does not pile up work of no use, however often it is called', async () => {
    let sent = 0
    const counting = (): Worker => {
      const worker = silent()
      const post = worker.postMessage.bind(worker)
      worker.postMessage = (message: unknown): void => {
        sent += 1
        post(message)
      }
      return worker
    }
    const { coder } = await startedBed(1, [counting])
    for (let call = 0; call < 5; call++) coder.warmUp()
    await coder.stop()
    assert.equal(sent, 1)
    await coder.start(options)
    coder.warmUp()
    await coder.stop()
    assert.equal(sent, 2)
  })

  it('stop() ends threads that are still being made ready', async () => {
    const { coder, workers } = await startedBed(2, [silent])
    coder.warmUp()
    await coder.stop()
    assert.equal(aliveOf(workers), 0)
  })

  it('start with the first large object, and are used again', async () => {
    const { coder, workers } = await startedBed(2)
    await coder.encode(small, shape, options)
    assert.equal(workers.length, 0)
    await coder.encode(large, shape, options)
    await coder.encode(large, shape, options)
    assert.equal(workers.length, 2)
    await coder.stop()
    assert.equal(aliveOf(workers), 0)
  })

  it('end when nothing comes for long, and start again', async () => {
    const { coder, clock, workers } = await startedBed(1)
    await coder.encode(large, shape, options)
    clock.advance(idleMs - 1)
    await coder.encode(large, shape, options)
    clock.advance(idleMs - 1)
    assert.equal(aliveOf(workers), 1, 'the time counts from the last object')
    const [first] = workers
    const exited = first && once(first, 'exit')
    clock.advance(1)
    await exited
    await coder.encode(large, shape, options)
    assert.equal(workers.length, 2)
    await coder.stop()
    assert.equal(aliveOf(workers), 0)
  })

  it('fail their job clearly when one dies, and are replaced', async () => {
    const { coder, workers } = await startedBed(2, [dying, startCoderWorker])
    await assert.rejects(coder.encode(large, shape, options), (error: unknown) => {
      assert.ok(hasCode('coding_failed')(error))
      assert.match(String(error), /ended with code 3/)
      return true
    })
    assert.equal((await coder.encode(large, shape, options)).shards.length, 6)
    assert.equal(workers.length, 3)
    await coder.stop()
  })

  it('fail their job clearly when one cannot even start', async () => {
    const broken = workerOf("throw new Error('no such file')")
    const { coder } = await startedBed(1, [broken, startCoderWorker])
    await assert.rejects(coder.encode(large, shape, options), /no such file/)
    await coder.encode(large, shape, options)
    await coder.stop()
  })

  it('fail their job clearly when the system has no more of them', async () => {
    const none = (): Worker => {
      throw new Error('too many threads')
    }
    const { coder, workers } = await startedBed(2, [startCoderWorker, none])
    await assert.rejects(coder.encode(large, shape, options), hasCode('coding_failed'))
    await coder.stop()
    assert.equal(aliveOf(workers), 0)
  })

  it('die between two jobs without harm', async () => {
    const { coder, workers } = await startedBed(1)
    await coder.encode(large, shape, options)
    await workers[0]?.terminate()
    await coder.encode(large, shape, options)
    assert.equal(workers.length, 2)
    await coder.stop()
  })

  it('leave a job that is aborted, and take the next', async () => {
    const controller = new AbortController()
    const start = (): Worker => {
      // By then the job is on its way to the thread.
      setImmediate(() => controller.abort(new Error('enough')))
      return startCoderWorker()
    }
    const { coder } = await startedBed(1, [start, startCoderWorker])
    const { signal } = controller
    await assert.rejects(coder.encode(large, shape, { signal }), /enough/)
    await assert.rejects(coder.encode(small, shape, { signal }), /enough/)
    await coder.encode(large, shape, options)
    await coder.stop()
  })
})

describe('the life of a shard coder', () => {
  it('refuses work before it is started and when it is stopped', async () => {
    const coder = createShardCoder({ threads: 0 })
    await assert.rejects(coder.encode(small, shape, options), hasCode('draining'))
    await coder.start(options)
    await coder.encode(small, shape, options)
    await coder.stop()
    await coder.stop()
    await assert.rejects(coder.encode(small, shape, options), hasCode('draining'))
    await coder.start(options)
    await coder.encode(small, shape, options)
    await coder.stop()
  })

  it('does not start when the signal has fired', async () => {
    const coder = createShardCoder({ threads: 0 })
    await assert.rejects(coder.start({ signal: AbortSignal.abort(new Error('enough')) }), /enough/)
    await assert.rejects(coder.encode(small, shape, options), hasCode('draining'))
  })

  it('stop() ends what runs and what waits, even when a thread never answers', async () => {
    const { coder, workers } = await startedBed(1, [silent])
    const works = Array.from({ length: codingMax + 3 }, () => coder.encode(large, shape, options))
    const outcomes = Promise.allSettled(works)
    await coder.stop()
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, 'rejected')
      assert.ok(hasCode('draining')(outcome.reason), String(outcome.reason))
    }
    assert.equal(aliveOf(workers), 0)
  })

  it('refuses objects when too many wait', async () => {
    const { coder } = await startedBed(1, [silent])
    const works = Array.from({ length: codingMax + codingWaitingMax }, () =>
      coder.encode(large, shape, options),
    )
    const outcomes = Promise.allSettled(works)
    await assert.rejects(coder.encode(large, shape, options), hasCode('coding_failed'))
    await coder.encode(small, shape, options)
    await coder.stop()
    assert.ok((await outcomes).every(({ status }) => status === 'rejected'))
  })
})
