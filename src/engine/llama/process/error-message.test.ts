import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { errorMessageOf, errorOf } from './error-message.ts'

describe('errorMessageOf() and errorOf()', () => {
  it('keep everything that a caller may look at', () => {
    const error = new OperationError('engine_busy', 'Too much to do', {
      origin: 'engine',
      retryable: true,
      retryAfterMs: 1_500,
      field: 'messages',
      cause: new Error('the native reason'),
    })
    const again = errorOf(structuredClone(errorMessageOf(error)))
    assert.deepEqual({ ...again }, { ...error })
    assert.equal(again.message, error.message)
    assert.ok(again.cause instanceof Error)
    assert.match(again.cause.stack ?? '', /Caused by: Error: the native reason/)
  })

  it('say no more than that of errors that are no part of the contract', () => {
    const again = errorOf(errorMessageOf(new TypeError('the prompt was: hello')))
    assert.equal(again.code, 'engine_failed')
    assert.ok(!again.message.includes('hello'))
    assert.equal(errorOf(errorMessageOf('text')).code, 'engine_failed')
    assert.equal(errorOf(errorMessageOf(AbortSignal.abort().reason)).code, 'aborted')
  })
})
