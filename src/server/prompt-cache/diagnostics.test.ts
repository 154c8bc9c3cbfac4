import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { diagnose } from '../../cache/cache-diagnosis.ts'
import type { JsonObject } from '../../std/json.ts'
import { messages } from '../anthropic/messages.ts'
import { responses } from '../openai/responses.ts'
import type { ReplyContext, WireFormat } from '../wire-format.ts'
import { messageDiagnostics, responseDiagnostics } from './diagnostics.ts'

const reason = 'no entry for this request'
const asked = { prompt_cache_options: { comparison_response_id: 'resp_1' } }
const askedMessage = { diagnostics: { previous_message_id: 'msg_1' } }

function contextOf(format: WireFormat, fields: JsonObject, isHit = false): ReplyContext {
  const messageList = [{ role: 'user', content: 'Hi' }]
  const body = { model: 'm', max_tokens: 1, messages: messageList, input: 'Hi', ...fields }
  return {
    id: '0123456789abcdef01234567',
    created: 1,
    parsed: format.parse(body),
    isHit,
    diagnose: cachedTokens => diagnose({ outcome: 'miss', reason }, cachedTokens),
  }
}

describe('responseDiagnostics()', () => {
  it('is nothing unless asked for', () => {
    assert.deepEqual(responseDiagnostics(contextOf(responses, {}), 0), {})
  })

  it('tells a hit, a reused beginning, and why there was neither', () => {
    const of = (isHit: boolean, cachedTokens: number) =>
      responseDiagnostics(contextOf(responses, asked, isHit), cachedTokens).prompt_cache_diagnostics
    assert.deepEqual(of(true, 0), { type: 'cache_hit' })
    assert.deepEqual(of(false, 128), {
      type: 'cache_hit',
      hyperspace: { code: 'prefix_hit', reason, cached_tokens: 128 },
    })
    assert.deepEqual(of(false, 0), {
      type: 'unavailable',
      hyperspace: { code: 'miss', reason, cached_tokens: 0 },
    })
  })
})

describe('messageDiagnostics()', () => {
  it('is null unless asked for, on a hit, and where state was reused', () => {
    assert.equal(messageDiagnostics(contextOf(messages, {}), 0), null)
    assert.equal(messageDiagnostics(contextOf(messages, askedMessage, true), 0), null)
    assert.equal(messageDiagnostics(contextOf(messages, askedMessage), 128), null)
  })

  it('tells why nothing was there, and that it is not known yet', () => {
    const context = contextOf(messages, askedMessage)
    assert.deepEqual(messageDiagnostics(context, 0), {
      cache_miss_reason: {
        type: 'unavailable',
        hyperspace: { code: 'miss', reason, cached_tokens: 0 },
      },
    })
    assert.deepEqual(messageDiagnostics(context, undefined), { cache_miss_reason: null })
  })
})

describe('diagnose()', () => {
  it('gives the outcome as code, unless state was reused', () => {
    for (const outcome of ['miss', 'collapsed', 'bypass'] as const) {
      assert.equal(diagnose({ outcome, reason }, 0).code, outcome)
      assert.equal(diagnose({ outcome, reason }, 1).code, 'prefix_hit')
    }
  })
})
