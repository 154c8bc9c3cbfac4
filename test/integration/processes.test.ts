import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { createNode } from '../../src/node.ts'
import { bulkAnswer, bulkQuestion, startBulkUpstream } from '../support/bulk-upstream.ts'
import { NodeProcess } from '../support/node-process.ts'
import { type Exchange, modelList, startTestUpstream } from '../support/test-upstream.ts'
import { post, startNode, temporaryFolder, testConfig } from './test-node.ts'

const question = { model: 'slow', messages: [{ role: 'user', content: 'Take your time' }] }
const path = '/v1/chat/completions'
const delta = (content: string) => ({ id: 'a', choices: [{ index: 0, delta: { content } }] })

/** An upstream that begins an answer and then waits for the test. */
async function startSlowUpstream(test: TestContext) {
  const asked = Promise.withResolvers<Exchange>()
  const upstream = await startTestUpstream({
    'GET /v1/models': modelList('slow'),
    'POST /v1/chat/completions': exchange => {
      exchange.events(delta('First half, '))
      asked.resolve(exchange)
    },
  })
  test.after(() => upstream.stop())
  return { url: upstream.url, asked: asked.promise }
}

function finish({ events, response }: Exchange): void {
  events(
    delta('second half.'),
    { id: 'a', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { id: 'a', choices: [], usage: { prompt_tokens: 3, completion_tokens: 6 } },
    '[DONE]',
  )
  response.end()
}

/**
 * Until so many requests have been looked up: before that, a node that stops may still refuse them.
 */
async function haveAsked(url: string, count: number): Promise<void> {
  const wanted = `hyperspace_lookups_total{outcome="miss"} ${count}\n`
  for (;;) {
    const reply = await fetch(`${url}/metrics`)
    if ((await reply.text()).includes(wanted)) return
  }
}

const lockFiles = (data: string): readonly string[] =>
  readdirSync(data).filter(name => name.startsWith('node.') && name !== 'node.secret')

describe('SIGTERM', () => {
  it('lets running requests finish, takes no others, and stores what they made', async test => {
    const data = temporaryFolder(test)
    const upstream = await startSlowUpstream(test)
    const node = NodeProcess.start(test, data, ['--upstream', upstream.url])
    const url = await node.url()
    const streamed = await post(`${url}${path}`, { ...question, stream: true })
    const whole = post(`${url}${path}`, question)
    const exchange = await upstream.asked
    await haveAsked(url, 2)
    assert.ok(findsLock(data, node.pid))

    node.signal('SIGTERM')
    await node.event('stopping')
    // A new connection is refused; one that is still open gets told.
    const late = await fetch(`${url}/ready`).then(
      reply => reply.status,
      () => 'refused',
    )
    assert.ok(late === 'refused' || late === 503, String(late))
    finish(exchange)
    assert.match(await streamed.text(), /First half, .*second half\..*\[DONE\]/s)
    const { choices } = JSON.parse(await (await whole).text())
    assert.equal(choices[0].message.content, 'First half, second half.')
    await node.event('stopped')
    assert.equal((await node.ended()).code, 0)
    assert.deepEqual(lockFiles(data), [])

    const again = NodeProcess.start(test, data, ['--upstream', upstream.url])
    const reply = await post(`${await again.url()}${path}`, question)
    assert.equal(reply.headers.get('x-hyperspace-source'), 'disk')
  })

  it('a second time cuts them, and the upstream’s request with them', async test => {
    const data = temporaryFolder(test)
    const upstream = await startSlowUpstream(test)
    const node = NodeProcess.start(test, data, ['--upstream', upstream.url])
    const url = await node.url()
    const streamed = await post(`${url}${path}`, { ...question, stream: true })
    const exchange = await upstream.asked
    node.signal('SIGTERM')
    await node.event('stopping')
    node.signal('SIGTERM')
    await node.event('aborting')
    await assert.rejects(streamed.text())
    await exchange.cutOff
    await node.event('stopped')
    const { code, errors } = await node.ended()
    assert.deepEqual([code, errors], [0, ''])
    assert.deepEqual(lockFiles(data), [])
  })

  it('ends an idle node at once', async test => {
    const upstream = await startSlowUpstream(test)
    const node = NodeProcess.start(test, temporaryFolder(test), ['--upstream', upstream.url])
    const url = await node.url()
    // An idle keep-alive connection must not be waited for.
    assert.equal((await fetch(`${url}/health`)).status, 200)
    node.signal('SIGINT')
    await node.event('stopping')
    await node.event('stopped')
    assert.equal((await node.ended()).code, 0)
  })
})

describe('two nodes on one data folder', () => {
  it('the second refuses with the pid of the first, in one line', async test => {
    const data = temporaryFolder(test)
    const upstream = await startSlowUpstream(test)
    const flags = ['--upstream', upstream.url]
    const first = NodeProcess.start(test, data, flags)
    const url = await first.url()
    const second = NodeProcess.start(test, data, flags)
    const { code, errors } = await second.ended()
    assert.notEqual(code, 0)
    assert.ok(errors.includes(`pid ${first.pid}`), errors)
    assert.ok(errors.includes(data) && errors.includes('--data DIR'), errors)
    assert.equal(errors.trim().split('\n').length, 1, errors)
    assert.equal((await fetch(`${url}/health`)).status, 200, 'the first goes on')

    first.signal('SIGKILL')
    await first.ended()
    assert.ok(findsLock(data, first.pid), 'the killed one has left its lock')
    const third = NodeProcess.start(test, data, flags)
    assert.equal((await fetch(`${await third.url()}/health`)).status, 200)
  })

  it('in one process as well', async test => {
    const node = await startNode(test, { fake: {} })
    const other = createNode(testConfig(node.data))
    await assert.rejects(other.start({ signal: test.signal }), {
      code: 'data_folder_locked',
      message: new RegExp(`\\(pid ${process.pid}\\)`),
    })
    assert.equal((await fetch(`${node.url}/health`)).status, 200)
    const again = await node.restart()
    assert.equal((await fetch(`${again.url}/health`)).status, 200)
  })
})

describe('kill -9 while answers are stored', () => {
  const answerBytes = 4_096
  const clientCount = 16
  const killAfter = [40, 150, 90]

  it('leaves no wrong and no half answer', async test => {
    const data = temporaryFolder(test)
    const upstream = await startBulkUpstream(test, { answerBytes })
    const flags = ['--upstream', upstream.url]
    const asked: string[] = []
    for (const [round, answersMax] of killAfter.entries()) {
      const node = NodeProcess.start(test, data, flags)
      const url = await node.url()
      let answers = 0
      const client = async (name: string): Promise<void> => {
        for (let index = 0; ; index++) {
          const text = `round ${round}, client ${name}, question ${index}`
          asked.push(text)
          const reply = await post(`${url}${path}`, bulkQuestion(text)).then(read, () => undefined)
          if (reply === undefined) return
          answers += 1
          if (answers === answersMax) node.signal('SIGKILL')
        }
      }
      await Promise.all(Array.from({ length: clientCount }, (_, index) => client(`${index}`)))
      assert.equal((await node.ended()).signal, 'SIGKILL')
    }
    const node = await startNode(test, { data, flags: { upstream: [upstream.url] } })
    let hits = 0
    for (const text of asked) {
      const headers = { 'cache-control': 'only-if-cached' }
      const reply = await post(`${node.url}${path}`, bulkQuestion(text), headers)
      const body = await reply.text()
      if (reply.status === 504) continue
      assert.equal(reply.status, 200, body)
      assert.equal(reply.headers.get('x-hyperspace-source'), 'disk')
      assert.equal(JSON.parse(body).choices[0].message.content, bulkAnswer(text, answerBytes))
      hits += 1
    }
    const stored = node.node.status().cache.tiers[1]?.records
    assert.equal(hits, stored, 'every record answers the question it was made for')
    assert.ok(hits >= 40, `${hits} of ${asked.length} were stored`)
    const log = readFileSync(join(data, 'logs', 'node.log'), 'utf8')
    assert.doesNotMatch(log, /moved aside|unreadable|damaged/)
  })

  async function read(reply: Response): Promise<string> {
    return await reply.text()
  }
})

function findsLock(data: string, pid: number): boolean {
  return readFileSync(join(data, 'node.lock'), 'utf8').includes(`"pid":${pid}`)
}
