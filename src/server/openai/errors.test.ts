import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  contextLengthExceeded,
  modelNotFound,
  OperationError,
  type OperationErrorOptions,
  requestInvalid,
} from '../../errors.ts'
import { chatCompletions } from './chat-completions.ts'
import { responsesEvents, sseData } from './encode/replay-fixtures.ts'
import { encodeError } from './errors.ts'
import { responses } from './responses.ts'

function upstreamError(status: number, body: string): OperationError {
  const options: OperationErrorOptions = {
    origin: 'upstream',
    upstream: { status, contentType: 'application/json', body },
  }
  return new OperationError('upstream_failed', 'The upstream refused', options)
}

const busy = new OperationError('engine_busy', 'Try again', { origin: 'engine' })
const unauthorized = new OperationError('unauthorized', 'No key', { origin: 'client' })
const failed = new OperationError('engine_failed', 'It died', { origin: 'engine' })

describe('encodeError()', () => {
  const cases: readonly [OperationError, number, object][] = [
    [
      requestInvalid('messages[2].content', 'wrong'),
      400,
      {
        message: 'wrong',
        type: 'invalid_request_error',
        param: 'messages[2].content',
        code: 'request_invalid',
      },
    ],
    [
      requestInvalid('', 'no object'),
      400,
      { message: 'no object', type: 'invalid_request_error', param: null, code: 'request_invalid' },
    ],
    [
      unauthorized,
      401,
      { message: 'No key', type: 'authentication_error', param: null, code: 'invalid_api_key' },
    ],
    [
      busy,
      429,
      { message: 'Try again', type: 'rate_limit_error', param: null, code: 'engine_busy' },
    ],
    [failed, 500, { message: 'It died', type: 'server_error', param: null, code: 'engine_failed' }],
    [
      modelNotFound('x', ['a']),
      404,
      {
        message: "No model 'x' here. Available: a",
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    ],
    [
      upstreamError(404, '{"error":"no such model"}'),
      404,
      {
        message: 'no such model',
        type: 'invalid_request_error',
        param: null,
        code: 'upstream_failed',
      },
    ],
    [
      upstreamError(502, '<html>'),
      502,
      {
        message: 'The upstream refused',
        type: 'server_error',
        param: null,
        code: 'upstream_failed',
      },
    ],
  ]
  for (const [error, status, expected] of cases) {
    it(`tells ${error.code} with ${status} as ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(JSON.parse(encodeError(error, status, 'req_1')), { error: expected })
    })
  }

  it('passes on what an upstream wrote in the same form, byte for byte', () => {
    const body =
      '{ "error": {"message":"slow down","type":"tokens","param":null,"code":"x"}, "extra": 1 }'
    assert.equal(encodeError(upstreamError(429, body), 429, 'req_1'), body)
  })

  it('keeps the code that clients shorten their prompt for', () => {
    const { error } = JSON.parse(encodeError(contextLengthExceeded(9, 8), 400, 'req_1'))
    assert.equal(error.code, 'context_length_exceeded')
  })
})

describe('fail()', () => {
  it('tells a broken chat stream in one event without [DONE]', () => {
    const parsed = chatCompletions.parse({
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
    })
    const encoder = chatCompletions.openStream({ id: 'ab', created: 1, parsed, isHit: false })
    encoder.encode({ type: 'start' })
    const text = encoder.fail(failed, 'req_1')
    assert.deepEqual(sseData(text), [
      { error: { message: 'It died', type: 'server_error', param: null, code: 'engine_failed' } },
    ])
    assert.ok(!text.includes('[DONE]'))
    assert.equal(encoder.keepAlive(), ': keep-alive\n\n')
  })

  it('ends a broken response with an error and with what there is of it', () => {
    const parsed = responses.parse({ model: 'm', input: 'hi' })
    const encoder = responses.openStream({ id: 'ab', created: 1, parsed, isHit: false })
    let text = encoder.encode({ type: 'start' })
    text += encoder.encode({ type: 'text', choice: 0, kind: 'text', text: 'Hel' })
    text += encoder.fail(busy, 'req_1')
    const [error, last] = sseData(text).slice(-2)
    assert.deepEqual(error, {
      type: 'error',
      sequence_number: 5,
      code: 'engine_busy',
      message: 'Try again',
      param: null,
    })
    assert.equal(last?.['type'], 'response.failed')
    const { response } = JSON.parse(JSON.stringify(last))
    assert.equal(response.status, 'failed')
    assert.deepEqual(response.error, { code: 'rate_limit_exceeded', message: 'Try again' })
    assert.equal(response.output[0].content[0].text, 'Hel')
    assert.equal(response.output[0].status, 'incomplete')
  })

  it('is readable before anything else was told', () => {
    const parsed = responses.parse({ model: 'm', input: 'hi' })
    const encoder = responses.openStream({ id: 'ab', created: 1, parsed, isHit: false })
    const started = encoder.encode({ type: 'start' })
    assert.throws(() => responsesEvents(started), /the stream has an end/)
    assert.equal(sseData(encoder.fail(failed, 'req_1')).length, 2)
  })
})
