import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../errors.ts'
import type { GenerationEvent } from '../interface/generation.ts'
import { modelIdFromName } from '../key/model-id.ts'
import { lookupKey, parseResponseKey } from '../key/response-key.ts'
import { TaskScope } from '../std/task-scope.ts'
import { type FlightPlan, Flights } from './flights.ts'
import type { Entry } from './response-cache.ts'

const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 3, reasoningTokens: 0 }

const key = parseResponseKey('ab'.repeat(32))
assert.ok(key)

function entryOf(): Omit<Entry, 'replies'> {
  assert.ok(key)
  const modelId = modelIdFromName('x')
  const completion = { modelId, created: 1, choices: [], usage }
  const made = { completion, maxTokens: undefined, costSeconds: 1, storedAt: 1, expiresAt: 2 }
  return { ...made, lookupKey: lookupKey(key) }
}

/** A source whose events come when the test lets them. */
class Source {
  readonly #queue: (GenerationEvent | 'end' | Error)[] = []
  #wake: () => void = () => undefined
  aborted: Promise<void> = Promise.resolve()
  wasAborted = false
  completed = 0

  push(...items: (GenerationEvent | 'end' | Error)[]): void {
    this.#queue.push(...items)
    this.#wake()
  }

  plan(): FlightPlan {
    const read = (signal: AbortSignal): AsyncIterable<GenerationEvent> => this.#read(signal)
    return {
      created: 1_700_000_000,
      run: read,
      onEvent: () => undefined,
      onComplete: () => {
        this.completed += 1
      },
    }
  }

  async *#read(signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    this.aborted = new Promise(resolve => {
      signal.addEventListener('abort', () => {
        this.wasAborted = true
        this.#wake()
        resolve()
      })
    })
    for (;;) {
      signal.throwIfAborted()
      const next = this.#queue.shift()
      if (next === undefined) {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      } else if (next === 'end') return
      else if (next instanceof Error) throw next
      else yield next
    }
  }
}

const text = (piece: string): GenerationEvent => ({
  type: 'text',
  choice: 0,
  kind: 'text',
  text: piece,
})
const collect = async (events: AsyncIterable<GenerationEvent>): Promise<GenerationEvent[]> =>
  await Array.fromAsync(events)

function setUp(): { flights: Flights; source: Source; scope: TaskScope } {
  const scope = new TaskScope((task, error) => assert.fail(`${task}: ${String(error)}`))
  return { flights: new Flights(scope), source: new Source(), scope }
}

describe('Flights', () => {
  it('join() gives a late follower everything from the first event', async () => {
    const { flights, source } = setUp()
    const leader = flights.start('a', source.plan())
    source.push(text('one'))
    assert.deepEqual((await leader.events.next()).value, text('one'))
    const late = flights.join('a')
    assert.ok(late !== undefined)
    source.push(text('two'), { type: 'usage', usage }, 'end')
    const all = [text('one'), text('two'), { type: 'usage', usage }]
    assert.deepEqual(await collect(late.events), all)
    assert.deepEqual(await collect(leader.events), all.slice(1))
    assert.equal(source.completed, 1)
    assert.equal(flights.join('a'), undefined, 'a landed flight cannot be joined')
  })

  it('lands at the usage, while the engine still does something that no client waits for', async () => {
    const failures: unknown[] = []
    const scope = new TaskScope((_, error) => failures.push(error))
    const flights = new Flights(scope)
    const source = new Source()
    const leader = flights.start('a', source.plan())
    source.push(text('all'), { type: 'usage', usage })
    assert.deepEqual(await collect(leader.events), [text('all'), { type: 'usage', usage }])
    assert.equal(source.completed, 1)
    assert.equal(flights.runningCount, 0, 'whoever asks now finds the entry')
    assert.equal(source.wasAborted, false, 'that the clients have gone ends nothing')
    const failure = new Error('behind the end')
    source.push(failure)
    await scope.drain()
    assert.deepEqual(failures, [failure])
    assert.equal(source.completed, 1)
  })

  it('leave() of the first client does not end the stream of the others', async () => {
    const { flights, source } = setUp()
    const leader = flights.start('a', source.plan())
    const other = flights.join('a')
    assert.ok(other !== undefined)
    leader.leave()
    source.push(text('still here'), 'end')
    assert.deepEqual(await collect(other.events), [text('still here')])
    assert.equal(source.wasAborted, false)
  })

  it('leave() ends the wait for the next event, at once', async () => {
    const { flights, source } = setUp()
    const leader = flights.start('a', source.plan())
    const other = flights.join('a')
    const next = leader.events.next()
    leader.leave()
    await assert.rejects(next, { name: 'AbortError' })
    assert.equal((await leader.events.next()).done, true)
    assert.equal(source.wasAborted, false)
    other?.leave()
  })

  it('leave() of everybody aborts the generation and completes nothing', async () => {
    const { flights, source, scope } = setUp()
    const leader = flights.start('a', source.plan())
    const other = flights.join('a')
    source.push(text('x'))
    await leader.events.next()
    leader.leave()
    leader.leave()
    assert.equal(source.wasAborted, false, 'leaving twice counts once')
    other?.leave()
    await source.aborted
    await scope.drain()
    assert.equal(source.completed, 0)
    assert.equal(flights.runningCount, 0)
  })

  it('leave() of everybody ends nothing that a peer had: it is complete and being kept', async () => {
    const { flights, source, scope } = setUp()
    const entry: Entry = { ...entryOf(), replies: new Map() }
    const follower = flights.start('a', {
      ...source.plan(),
      run: async function* (_, tell) {
        tell({ key, entry })
        yield text('one')
        yield { type: 'usage', usage }
      },
    })
    await follower.events.next()
    assert.equal(follower.origin()?.entry, entry)
    const late = flights.join('a')
    follower.leave()
    late?.leave()
    await scope.drain()
    assert.equal(source.completed, 1)
  })

  it('a failure reaches every follower as it was thrown, those that join late included', async () => {
    const { flights, source } = setUp()
    const leader = flights.start('a', source.plan())
    const other = flights.join('a')
    assert.ok(other !== undefined)
    const failure = new OperationError('engine_failed', 'broken', { origin: 'engine' })
    source.push(text('x'), failure)
    await assert.rejects(collect(leader.events), failure)
    await assert.rejects(collect(other.events), failure)
    assert.equal(source.completed, 0)
  })

  it('an error in onComplete fails the stream, so that a cut-off answer never looks whole', async () => {
    const { flights, source } = setUp()
    const failure = new OperationError('engine_failed', 'cut off', { origin: 'engine' })
    const plan = { ...source.plan(), onComplete: () => Promise.reject(failure) }
    const follower = flights.start('a', {
      ...plan,
      onComplete: () => {
        throw failure
      },
    })
    source.push(text('x'), 'end')
    await assert.rejects(collect(follower.events), failure)
  })

  it('startAlone() cannot be joined', () => {
    const { flights, source } = setUp()
    const alone = flights.startAlone(source.plan())
    assert.equal(flights.runningCount, 1)
    assert.equal(flights.join('alone'), undefined)
    alone.leave()
  })

  it('closing the scope ends every flight', async () => {
    const { flights, source, scope } = setUp()
    const follower = flights.start('a', source.plan())
    source.push(text('x'))
    await follower.events.next()
    await scope.close()
    await assert.rejects(collect(follower.events))
    assert.equal(flights.runningCount, 0)
  })
})
