import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'

describe('engine-main', () => {
  it('answers a ping, and ends with its channel', async t => {
    const child = fork(join(import.meta.dirname, 'engine-main.ts'), {
      serialization: 'advanced',
      execArgv: [],
    })
    t.after(() => child.kill('SIGKILL'))
    child.send({ type: 'ping' })
    const [message] = await once(child, 'message')
    assert.deepEqual(message, { type: 'pong' })
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
  })
})
