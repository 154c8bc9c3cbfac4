import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FromChild } from '../engine-messages.ts'
import { messageLog } from './message-log.ts'

describe('messageLog()', () => {
  it('makes messages that can be sent, whatever the fields are', () => {
    const sent: FromChild[] = []
    const log = messageLog(message => sent.push(structuredClone(message))).child({ model: 'm' })
    log.warn('it happened', { count: 1n, native: () => 1, error: new Error('why') })
    const [message] = sent
    assert.ok(message?.type === 'log')
    assert.deepEqual([message.level, message.event], ['warn', 'it happened'])
    const { model, count, native, error } = message.fields
    assert.deepEqual([model, count, typeof native], ['m', 1n, 'string'])
    assert.ok(typeof error === 'object' && error !== null && 'stack' in error)
    assert.match(String(error.stack), /^Error: why/)
  })
})
