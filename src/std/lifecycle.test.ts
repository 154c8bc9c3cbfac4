import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Startable, startAll, stopAll } from './lifecycle.ts'
import { TaskScope } from './task-scope.ts'

const options = { signal: new AbortController().signal }

function part(name: string, diary: string[], fails?: 'start' | 'stop'): Startable {
  return {
    name,
    start: async () => {
      if (fails === 'start') throw new Error(`${name} does not start`)
      diary.push(`+${name}`)
    },
    stop: async () => {
      diary.push(`-${name}`)
      if (fails === 'stop') throw new Error(`${name} does not stop`)
    },
  }
}

describe('startAll()', () => {
  it('rolls back in reverse when a part fails', async () => {
    const diary: string[] = []
    const parts = [part('a', diary), part('b', diary), part('c', diary, 'start'), part('d', diary)]
    await assert.rejects(startAll(parts, options), /c does not start/)
    assert.deepEqual(diary, ['+a', '+b', '-b', '-a'])
  })

  it('starts nothing under an aborted signal', async () => {
    const diary: string[] = []
    await assert.rejects(startAll([part('a', diary)], { signal: AbortSignal.abort() }))
    assert.deepEqual(diary, [])
  })
})

describe('stopAll()', () => {
  it('stops every part even if one fails, and tells', async () => {
    const diary: string[] = []
    const parts = [part('a', diary), part('b', diary, 'stop'), part('c', diary)]
    await assert.rejects(stopAll(parts), AggregateError)
    assert.deepEqual(diary, ['-c', '-b', '-a'])
  })
})

describe('TaskScope', () => {
  it('close() aborts what runs and returns when it has ended', async () => {
    const failures: string[] = []
    const scope = new TaskScope(task => failures.push(task))
    let ended = false
    scope.spawn('wait', async signal => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      ended = true
    })
    scope.spawn('fail', async () => {
      throw new Error('x')
    })
    await Promise.resolve()
    await scope.close()
    assert.equal(ended, true)
    assert.equal(scope.runningCount, 0)
    assert.deepEqual(failures, ['fail'])
    scope.spawn('late', async () => assert.fail('a closed scope runs nothing'))
    assert.equal(scope.runningCount, 0)
  })
})
