import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { gone, isGone } from '../../../../test/support/processes.ts'
import {
  chat,
  hastyClock,
  onlyModel,
  processEngine,
  startedEngine,
  startedProcessEngine,
  tinyChatPath,
} from '../../../../test/support/test-llama.ts'
import { until } from '../../../../test/support/until.ts'
import { OperationError } from '../../../errors.ts'
import { engineCompliance } from '../../../interface/engine.compliance.ts'
import { collect } from '../../../interface/generation.compliance.ts'
import type { GenerationEvent } from '../../../interface/generation.ts'
import { type LogFields, silentLog } from '../../../interface/log.ts'
import { enginePingMs, enginePingsUnansweredMax } from '../../../limits.ts'
import { type Clock, systemClock } from '../../../std/clock.ts'
import { isJsonObject } from '../../../std/json.ts'
import type { LlamaProcessEngine } from './llama-process-engine.ts'

engineCompliance(
  'llama in a process',
  async () => ({ engine: await startedProcessEngine(), modelName: 'tiny-chat' }),
  { embeddings: 'The demo model gives none; embedder.test.ts has one that does' },
)

const greedy = { sampling: { temperature: 0 } }
/** Many more events than the process may be ahead. */
const longRequest = chat('Who are you?', { choiceCount: 16 })

describe('LlamaProcessEngine', () => {
  const shared: { engine?: LlamaProcessEngine } = {}
  const engine = (): LlamaProcessEngine => {
    assert.ok(shared.engine)
    return shared.engine
  }
  const pid = (): number => engine().pid ?? 0
  before(async () => {
    // Without the pauses before a process that was killed again and again is replaced.
    shared.engine = await startedProcessEngine({ clock: hastyClock })
  })
  after(() => shared.engine?.stop())

  it('samples as the engine does that runs in the own process', async t => {
    const own = await startedEngine()
    t.after(() => own.stop())
    const seed = 0xfedc_ba98_7654_3210n
    const request = chat('Tell me a story', { sampling: { temperature: 1.5 }, maxTokens: 24 })
    const answers = await Promise.all(
      [own, engine()].map(each =>
        Array.fromAsync(onlyModel(each).generate(request, { seed, ...unaborted })),
      ),
    )
    assert.deepEqual(answers[1], answers[0])
  })

  it('lets errors cross the border whole', async t => {
    const model = onlyModel(engine())
    const wrong = collect(model, chat('Hi', { sampling: { logitBias: { 99999: 1 } } }))
    await assert.rejects(wrong, { code: 'request_invalid', field: 'logit_bias', origin: 'client' })
    const busy = await startedProcessEngine({ parallel: 1, queueMax: 0 })
    t.after(() => busy.stop())
    const running = onlyModel(busy).generate(longRequest, { seed: 1n, ...unaborted })
    await running[Symbol.asyncIterator]().next()
    await assert.rejects(collect(onlyModel(busy), chat('Hi')), (error: unknown) => {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'engine_busy')
      assert.equal(error.retryable, true)
      assert.ok(error.retryAfterMs !== undefined && error.retryAfterMs > 0)
      return true
    })
    assert.deepEqual(busy.load(), { running: 1, waiting: 0 })
  })

  it('outlives the signals that end a group of processes', async () => {
    const first = pid()
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(first, name)
    assert.notEqual((await collect(onlyModel(engine()), chat('Hello'))).text(0), '')
    assert.equal(pid(), first)
  })

  it('answers on the next process when one is killed before the first event', async () => {
    const model = onlyModel(engine())
    const request = chat('What is Hyperspace?', greedy)
    const undisturbed = (await collect(model, request)).text(0)
    const first = pid()
    process.kill(first, 'SIGSTOP')
    const answer = collect(model, request)
    const count = model.countTokens(request, unaborted)
    process.kill(first, 'SIGKILL')
    assert.equal((await answer).text(0), undisturbed)
    assert.equal(await count, (await answer).usage.promptTokens)
    assert.notEqual(pid(), first)
    assert.ok(isGone(first))
  })

  it('fails clearly when it is killed in the middle, and goes on with the next', async () => {
    const model = onlyModel(engine())
    const events: GenerationEvent[] = []
    const broken = (async () => {
      for await (const event of model.generate(longRequest, { seed: 1n, ...unaborted })) {
        if (events.push(event) === 1) process.kill(pid(), 'SIGKILL')
      }
    })()
    await assert.rejects(broken, (error: unknown) => {
      assert.ok(error instanceof OperationError)
      assert.deepEqual([error.code, error.origin], ['engine_failed', 'engine'])
      assert.equal(error.retryable, true)
      assert.match(error.message, /process ended .* is being restarted/)
      return true
    })
    assert.equal(events.at(-1)?.type === 'usage', false)
    assert.deepEqual(engine().load(), { running: 0, waiting: 0 })
    assert.notEqual((await collect(model, chat('Hello'))).text(0), '')
  })
})

describe('LlamaProcessEngine whose process lives and does nothing', () => {
  it('ends it when it gives no sign of life, and answers on the next', {
    timeout: 60_000,
  }, async t => {
    const { clock, ping } = pingedByHand()
    const logged: [string, LogFields | undefined][] = []
    const warn = (event: string, fields?: LogFields): void => void logged.push([event, fields])
    const log = { ...silentLog, warn }
    const engine = await startedProcessEngine({ clock, log })
    t.after(() => engine.stop())
    const model = onlyModel(engine)
    const undisturbed = (await collect(model, chat('Hello', greedy))).text(0)
    assert.equal(ping(), 0, 'nobody asks a process that owes nothing')
    const first = engine.pid ?? 0
    process.kill(first, 'SIGSTOP')
    const answer = collect(model, chat('Hello', greedy))
    const controller = new AbortController()
    const given = assert.rejects(model.countTokens(longRequest, controller), { name: 'AbortError' })
    controller.abort()
    await until(() => ping() > 0, t.signal)
    for (let count = 1; count <= enginePingsUnansweredMax; count++) ping()
    assert.equal((await answer).text(0), undisturbed)
    await given
    assert.notEqual(engine.pid, first)
    assert.ok(isGone(first))
    assert.deepEqual(logged.map(([event]) => event).slice(0, 2), [
      'engine process gives no sign of life',
      'engine process ended',
    ])
    assert.deepEqual(logged[1]?.[1]?.['killedBy'], 'SIGKILL')
  })

  it('leaves it alone when it goes on in time', { timeout: 60_000 }, async t => {
    const { clock, ping } = pingedByHand()
    const engine = await startedProcessEngine({ clock })
    t.after(() => engine.stop())
    const model = onlyModel(engine)
    const { pid } = engine
    for (let stop = 0; stop < 3; stop++) {
      process.kill(pid ?? 0, 'SIGSTOP')
      const answer = collect(model, chat('Hello'))
      await until(() => ping() > 0, t.signal)
      for (let count = 2; count <= enginePingsUnansweredMax; count++) ping()
      process.kill(pid ?? 0, 'SIGCONT')
      assert.notEqual((await answer).text(0), '')
    }
    assert.equal(engine.pid, pid)
  })

  it('ends one that hangs while it loads', { timeout: 60_000 }, async t => {
    const { clock, ping } = pingedByHand()
    const engine = processEngine({ clock })
    t.after(() => engine.stop())
    const starting = assert.rejects(engine.start(unaborted), { code: 'engine_failed' })
    await until(() => engine.pid !== undefined, t.signal)
    const pid = engine.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    for (let count = 0; count <= enginePingsUnansweredMax; count++) assert.equal(ping(), 1)
    await starting
    assert.ok(isGone(pid))
  })
})

describe('LlamaProcessEngine whose process keeps ending', () => {
  it('fails requests with a time to come again, and is there by then', {
    timeout: 60_000,
  }, async t => {
    const engine = await startedProcessEngine()
    t.after(() => engine.stop())
    const model = onlyModel(engine)
    const first = engine.pid ?? 0
    process.kill(first, 'SIGSTOP')
    const answer = collect(model, chat('Hello'))
    answer.catch(() => undefined)
    process.kill(first, 'SIGKILL')
    await until(() => engine.pid !== first, t.signal)
    process.kill(engine.pid ?? 0, 'SIGKILL')
    await assert.rejects(answer, (error: unknown) => {
      assert.ok(error instanceof OperationError)
      assert.equal(error.code, 'engine_failed')
      assert.ok((error.retryAfterMs ?? 0) >= 1_000)
      return true
    })
    assert.equal(engine.failure?.code, 'engine_failed')
    assert.deepEqual(engine.models(), [], 'nothing can be served now')
    // The pause before the third attempt is a second: short enough to wait for.
    assert.notEqual((await collect(model, chat('Hello'))).text(0), '')
    assert.equal(engine.failure, undefined)
    assert.deepEqual(engine.models(), [model])
  })

  it('does not serve another file under the name and id of the first', {
    timeout: 60_000,
  }, async t => {
    const folder = await mkdtemp(join(tmpdir(), 'hyperspace-engine-'))
    const path = join(folder, 'model.gguf')
    await copyFile(tinyChatPath, path)
    const engine = await startedProcessEngine({ path })
    t.after(async () => {
      await engine.stop()
      await rm(folder, { recursive: true })
    })
    const model = onlyModel(engine)
    await copyFile(tinyChatPath, `${path}.new`)
    await rename(`${path}.new`, path)
    process.kill(engine.pid ?? 0, 'SIGKILL')
    await until(() => engine.failure !== undefined, t.signal)
    assert.equal(engine.failure?.code, 'model_file_invalid')
    await assert.rejects(
      Promise.all([collect(model, chat('Hello')), engine.stop()]),
      (error: unknown) => error instanceof OperationError && error.retryable,
    )
  })
})

describe('start() and stop() of LlamaProcessEngine', () => {
  it('start() says which file is no model, and leaves no process', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'hyperspace-engine-'))
    t.after(() => rm(folder, { recursive: true }))
    const path = join(folder, 'foreign.gguf')
    await writeFile(path, 'hello')
    for (const wrong of [path, join(folder, 'missing.gguf')]) {
      const engine = processEngine({ path: wrong })
      await assert.rejects(engine.start(unaborted), { code: 'model_file_invalid' })
      assert.equal(engine.pid, undefined)
    }
  })

  it('stop() ends a process that loads', { timeout: 60_000 }, async t => {
    const engine = processEngine()
    t.after(() => engine.stop())
    const starting = assert.rejects(engine.start(unaborted), { code: 'draining' })
    await until(() => engine.pid !== undefined, t.signal)
    const pid = engine.pid ?? 0
    await engine.stop()
    await starting
    assert.ok(isGone(pid))
  })

  it('start() ends with its signal, and leaves no process', { timeout: 60_000 }, async t => {
    const engine = processEngine()
    t.after(() => engine.stop())
    const controller = new AbortController()
    const starting = assert.rejects(engine.start(controller), { name: 'AbortError' })
    await until(() => engine.pid !== undefined, t.signal)
    const pid = engine.pid ?? 0
    controller.abort()
    await starting
    assert.ok(isGone(pid))
  })

  it('stop() kills a process that does not answer', async t => {
    const engine = await startedProcessEngine({ clock: hastyClock })
    t.after(() => engine.stop())
    const pid = engine.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    await engine.stop()
    assert.ok(isGone(pid))
  })

  it('stop() refuses who waits, and the engine can be started again', async t => {
    const engine = await startedProcessEngine({ parallel: 1 })
    t.after(() => engine.stop())
    const model = onlyModel(engine)
    const running = model.generate(longRequest, { seed: 1n, ...unaborted })[Symbol.asyncIterator]()
    await running.next()
    const refused = assert.rejects(collect(model, chat('Hello')), { code: 'draining' })
    const pid = engine.pid ?? 0
    await engine.stop()
    assert.ok(isGone(pid))
    await refused
    await assert.rejects(
      async () => {
        while (!(await running.next()).done);
      },
      { code: 'draining' },
    )
    await assert.rejects(collect(model, chat('Hello')), { code: 'draining' })
    await engine.start(unaborted)
    assert.notEqual((await collect(onlyModel(engine), chat('Hello'))).text(0), '')
  })

  it('the process ends with its parent, and the next start removes what it left', {
    timeout: 60_000,
  }, async t => {
    const script = join(import.meta.dirname, '../../../../test/support/engine-process-parent.ts')
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => parent.kill('SIGKILL'))
    const { value } = await createInterface({ input: parent.stdout })[Symbol.asyncIterator]().next()
    const told: unknown = JSON.parse(String(value))
    assert.ok(isJsonObject(told) && typeof told['pid'] === 'number')
    assert.ok(Array.isArray(told['folders']))
    const { pid, folders } = told
    assert.equal(isGone(pid), false)
    const ended = once(parent, 'exit')
    parent.kill('SIGKILL')
    await ended
    await gone(pid, t.signal)
    const left = folders.map(name => join('/dev/shm', String(name)))
    assert.equal(left.length, existsSync('/dev/shm') ? 1 : 0)
    const engine = await startedProcessEngine()
    t.after(() => engine.stop())
    // Whatever engine starts next on this machine may be the one that removes it: another test's.
    await until(() => !left.some(existsSync), t.signal)
  })
})

/** Time for a ping has come whenever `ping` is called, which tells how many were due. */
function pingedByHand(): { clock: Clock; ping: () => number } {
  const due = new Set<() => void>()
  const after: Clock['after'] = (ms, callback) => {
    if (ms !== enginePingMs) return hastyClock.after(ms, callback)
    due.add(callback)
    return () => due.delete(callback)
  }
  const ping = (): number => {
    const now = [...due]
    due.clear()
    for (const callback of now) callback()
    return now.length
  }
  return { clock: { ...systemClock, after }, ping }
}

const unaborted = { signal: new AbortController().signal }
