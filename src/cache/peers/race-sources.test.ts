import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerationEvent } from '../../interface/generation.ts'
import { delay } from '../../std/clock.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { type Race, raceSources } from './race-sources.ts'

const text = (said: string): GenerationEvent => ({
  type: 'text',
  choice: 0,
  kind: 'text',
  text: said,
})

/** One race; what an engine or a search still does after its end would show in `log`. */
class Track {
  readonly clock = new SimulatedClock()
  readonly log: string[] = []
  readonly client = new AbortController()

  search(afterMs: number, found: string | undefined, inFlightMs?: number): Race<string>['search'] {
    return async (signal, extend) => {
      try {
        if (inFlightMs !== undefined) extend(inFlightMs)
        await delay(this.clock, afterMs, signal)
        return found
      } catch (error) {
        this.log.push('search aborted')
        throw error
      }
    }
  }

  /** Says `start` at once, and each word after as many milliseconds. */
  engine(afterMs: number, words: readonly string[], failure?: Error): Race<string>['generate'] {
    const { clock, log } = this
    return async function* (signal) {
      log.push(`engine started at ${clock.monotonicMs()}`)
      try {
        yield { type: 'start' }
        for (const word of words) {
          await delay(clock, afterMs, signal)
          yield text(word)
        }
        if (failure !== undefined) throw failure
      } finally {
        log.push(`engine ended at ${clock.monotonicMs()}`)
      }
    }
  }

  async run(
    search: Race<string>['search'],
    generate: Race<string>['generate'],
    more: Partial<Race<string>> & { readonly legsMax?: number } = {},
  ): Promise<string> {
    const { legsMax = Number.POSITIVE_INFINITY, ...rest } = more
    const race = { search, generate, headStartMs: 20, ...rest }
    const said: string[] = []
    const consume = async (): Promise<void> => {
      for await (const leg of raceSources(race, this.clock, this.client.signal)) {
        if (leg.type === 'found') said.push(`found ${leg.found}`)
        else said.push(leg.event.type === 'text' ? leg.event.text : leg.event.type)
        if (said.length >= legsMax) break
      }
    }
    await this.clock.settle(consume())
    return said.join(' ')
  }
}

describe('raceSources()', () => {
  it('starts no engine when the search delivers within its head start', async () => {
    const track = new Track()
    assert.equal(await track.run(track.search(19, 'it'), track.engine(1, ['a'])), 'found it')
    assert.deepEqual(track.log, [])
  })

  it('starts the engine at once when the search finds nothing', async () => {
    const track = new Track()
    const said = await track.run(track.search(3, undefined), track.engine(1, ['a', 'b']))
    assert.equal(said, 'start a b')
    assert.deepEqual(track.log, ['engine started at 3', 'engine ended at 5'])
  })

  it('lets the first to have something win, and ends the other', async () => {
    const slow = new Track()
    assert.equal(await slow.run(slow.search(90, 'it'), slow.engine(100, ['a'])), 'found it')
    assert.deepEqual(slow.log, ['engine started at 20', 'engine ended at 90'])
    const fast = new Track()
    assert.equal(await fast.run(fast.search(90, 'it'), fast.engine(10, ['a', 'b'])), 'start a b')
    assert.deepEqual(fast.log, ['engine started at 20', 'search aborted', 'engine ended at 40'])
  })

  it('does not take an engine that has only begun for one that delivers', async () => {
    const track = new Track()
    assert.equal(await track.run(track.search(50, 'it'), track.engine(1_000, ['a'])), 'found it')
  })

  it('gives the search more time when somebody is computing it', async () => {
    const soon = new Track()
    const inFlight = soon.search(300, 'it', 400)
    assert.equal(await soon.run(inFlight, soon.engine(1, ['a'])), 'found it')
    assert.deepEqual(soon.log, [])
    const late = new Track()
    assert.equal(await late.run(late.search(1e6, 'it', 500), late.engine(1, ['a'])), 'start a')
    assert.equal(late.log[0], 'engine started at 520')
  })

  it('lets the search go on when the engine fails, and tells the failure when that finds nothing', async () => {
    const busy = new Error('busy')
    const saved = new Track()
    const late = saved.search(200, 'it')
    assert.equal(await saved.run(late, saved.engine(1, [], busy)), 'found it')
    const lost = new Track()
    const nothing = lost.search(200, undefined)
    await assert.rejects(lost.run(nothing, lost.engine(1, [], busy)), busy)
    const cut = new Track()
    await assert.rejects(cut.run(cut.search(200, 'it'), cut.engine(1, ['a'], busy)), busy)
  })

  it('throws what an engine throws that does not even begin', async () => {
    const track = new Track()
    const broken = new Error('broken')
    const generate = (): never => {
      throw broken
    }
    await assert.rejects(track.run(track.search(100, 'it'), generate), broken)
    assert.deepEqual(track.log, ['search aborted'])
  })

  it('ends the engine of a consumer that leaves in the middle', async () => {
    const track = new Track()
    const said = await track.run(track.search(1, undefined), track.engine(10, ['a', 'b', 'c']), {
      legsMax: 2,
    })
    assert.equal(said, 'start a')
    assert.deepEqual(track.log, ['engine started at 1', 'engine ended at 11'])
  })

  it('ends both when the client goes away, in the head start and after', async () => {
    for (const afterMs of [10, 50]) {
      const track = new Track()
      const gone = new Error('gone')
      track.clock.after(afterMs, () => track.client.abort(gone))
      await assert.rejects(track.run(track.search(100, 'it'), track.engine(100, ['a'])), gone)
      assert.ok(track.log.includes('search aborted'))
      assert.equal(track.log.includes('engine started at 20'), afterMs === 50)
      assert.equal(track.log.includes('engine ended at 50'), afterMs === 50)
    }
  })

  it('gives what was found before a stubborn engine has ended', async () => {
    const track = new Track()
    const { clock } = track
    let endedMs: number | undefined
    const stubborn: Race<string>['generate'] = async function* () {
      yield { type: 'start' }
      await new Promise<void>(resolve => clock.after(10_000, resolve))
      endedMs = clock.monotonicMs()
    }
    const race = { search: track.search(50, 'it'), generate: stubborn }
    const legs = raceSources({ ...race, headStartMs: 20 }, clock, track.client.signal)
    await clock.settle(legs.next())
    assert.equal(clock.monotonicMs(), 50)
    await clock.settle(legs.next())
    assert.equal(endedMs, 10_020, 'and nothing of it runs afterwards')
  })
})
