import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Directory } from '../../interface/directory.ts'
import type { PeerId } from '../../interface/network.ts'
import { parseLookupKey } from '../../key/response-key.ts'
import { delay } from '../../std/clock.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { findHolders } from './find-holders.ts'
import { firstInTurn } from './in-turn.ts'

const key = parseLookupKey('ab'.repeat(32))

/** What was asked when, with milliseconds that each takes and what it then has. */
class Row {
  readonly clock = new SimulatedClock()
  readonly controller = new AbortController()
  readonly log: string[] = []

  async *items(...gaps: readonly number[]): AsyncGenerator<number> {
    for (const [index, gap] of gaps.entries()) {
      if (gap > 0) await delay(this.clock, gap, this.controller.signal)
      yield index
    }
  }

  async run(
    gaps: readonly number[],
    answers: readonly (readonly [ms: number, value: string | undefined])[],
  ): Promise<string> {
    const { clock, controller } = this
    const ask = async (item: number): Promise<string | undefined> => {
      this.log.push(`${item} at ${clock.monotonicMs()}`)
      const [ms, value] = answers[item] ?? [0, undefined]
      return await delay(clock, ms, controller.signal).then(
        () => value,
        () => undefined,
      )
    }
    const options = { clock, patienceMs: 20, signal: controller.signal }
    const found = await clock.settle(firstInTurn(this.items(...gaps), ask, options))
    return `${found} at ${clock.monotonicMs()}`
  }
}

describe('firstInTurn()', () => {
  it('asks the next only when one has nothing', async () => {
    const row = new Row()
    const found = await row.run(
      [0, 0, 0],
      [
        [5, undefined],
        [5, 'b'],
        [1, 'c'],
      ],
    )
    assert.equal(found, 'b at 10')
    assert.deepEqual(row.log, ['0 at 0', '1 at 5'])
  })

  it('asks the next beside one that stalls, and takes what comes first', async () => {
    const next = new Row()
    assert.equal(
      await next.run(
        [0, 0],
        [
          [1_000, 'a'],
          [5, 'b'],
        ],
      ),
      'b at 25',
    )
    const old = new Row()
    assert.equal(
      await old.run(
        [0, 0],
        [
          [30, 'a'],
          [1_000, 'b'],
        ],
      ),
      'a at 30',
    )
  })

  it('waits for those who are still to become known, and for those asked at last', async () => {
    const row = new Row()
    assert.equal(
      await row.run(
        [0, 100],
        [
          [5, undefined],
          [50, 'b'],
        ],
      ),
      'b at 155',
    )
    const nobody = new Row()
    assert.equal(
      await nobody.run(
        [0, 0],
        [
          [5, undefined],
          [50, undefined],
        ],
      ),
      'undefined at 55',
    )
    assert.equal(await new Row().run([], []), 'undefined at 0')
  })

  it('ends with its signal', async () => {
    const row = new Row()
    row.clock.after(7, () => row.controller.abort(new Error('enough')))
    assert.equal(
      await row.run(
        [0, 0],
        [
          [1_000, 'a'],
          [5, 'b'],
        ],
      ),
      'undefined at 7',
    )
  })
})

describe('findHolders()', () => {
  const clock = new SimulatedClock()
  const peer = (name: string): PeerId => name as PeerId

  function directory(
    found: readonly (readonly [ms: number, name: string])[],
    failure?: Error,
  ): Directory & { ended: boolean } {
    const unused = (): never => assert.fail('only find() is used')
    const others = { name: 'fake', start: unused, stop: unused, add: unused, remove: unused }
    const fake: Directory & { ended: boolean } = {
      ...others,
      stats: unused,
      ended: false,
      async *find(_, { signal }) {
        try {
          for (const [ms, name] of found) {
            if (ms > 0) await delay(clock, ms, signal)
            yield peer(name)
          }
          if (failure !== undefined) throw failure
        } finally {
          fake.ended = true
        }
      },
    }
    return fake
  }

  async function holders(
    from: Directory,
    { takes = 9, holdersMax = 9, refused = '' } = {},
  ): Promise<string> {
    const rank = (peers: readonly PeerId[]): readonly PeerId[] =>
      peers.filter(each => each !== refused).toSorted()
    const options = { rank, holdersMax, signal: new AbortController().signal, deadlineMs: 100 }
    assert.ok(key)
    const wanted = key
    const names: string[] = []
    const take = async (): Promise<void> => {
      for await (const each of findHolders(from, wanted, options)) {
        names.push(each)
        if (names.length >= takes) break
      }
    }
    await clock.settle(take())
    return names.join(' ')
  }

  it('names the best of those that are known together first, and is not held up by the rest', async () => {
    const startMs = clock.monotonicMs()
    assert.equal(
      await holders(
        directory([
          [0, 'c'],
          [0, 'a'],
          [0, 'b'],
          [50, '0'],
        ]),
      ),
      'a b c 0',
    )
    const slow = directory([
      [0, 'b'],
      [1e6, 'a'],
    ])
    assert.equal(await holders(slow, { takes: 1 }), 'b')
    assert.equal(clock.monotonicMs(), startMs + 50)
    assert.equal(slow.ended, true, 'and ends the search')
  })

  it('names no more than are worth asking, and none of those not to ask', async () => {
    const many = directory([
      [0, 'a'],
      [0, 'b'],
      [0, 'c'],
      [1e6, 'd'],
    ])
    assert.equal(await holders(many, { holdersMax: 2 }), 'a b')
    assert.equal(many.ended, true)
    assert.equal(
      await holders(
        directory([
          [0, 'a'],
          [5, 'b'],
        ]),
        { refused: 'a' },
      ),
      'b',
    )
  })

  it('tells a failure of the directory after those it had named', async () => {
    const broken = new Error('broken')
    await assert.rejects(
      holders(
        directory(
          [
            [0, 'a'],
            [9, 'b'],
          ],
          broken,
        ),
      ),
      broken,
    )
  })
})
