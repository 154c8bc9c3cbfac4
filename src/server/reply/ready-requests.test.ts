import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { emptyRequest } from '../../key/completion-request.ts'
import { modelIdFromName } from '../../key/model-id.ts'
import { parseResponseKey } from '../../key/response-key.ts'
import { localScope } from '../../key/scope.ts'
import { rawDigestsMax } from '../../limits.ts'
import type { ParsedRequest } from '../wire-format.ts'
import { type ReadyRequest, ReadyRequests, replyVariantOf } from './ready-requests.ts'

const secret = new Uint8Array(32).fill(3)
const scope = localScope(secret, undefined)
const body = Buffer.from('{"model":"a"}')

function request(modelName: string): ReadyRequest {
  const key = parseResponseKey('ab'.repeat(32))
  assert.ok(key !== undefined)
  const modelId = modelIdFromName(modelName)
  return { key, modelId, modelName, maxTokens: undefined, replyVariant: 'chat_completions/body' }
}

describe('ReadyRequests', () => {
  it('gives back what a byte-equal body at the same place in the same scope asked for', () => {
    const ready = new ReadyRequests()
    const known = request('a')
    ready.set(ready.digest('/v1/messages', scope, body), known)
    const again = localScope(secret, undefined)
    assert.equal(ready.get(ready.digest('/v1/messages', again, Buffer.from(body))), known)
  })

  it('tells paths, scopes and bodies apart', () => {
    const ready = new ReadyRequests()
    const digests = [
      ready.digest('/v1/messages', scope, body),
      ready.digest('/v1/responses', scope, body),
      ready.digest('/v1/messages', localScope(secret, 'key'), body),
      ready.digest('/v1/messages', scope, Buffer.from('{"model":"a" }')),
      ready.digest('/v1/messages', scope, Buffer.alloc(0)),
    ]
    assert.equal(new Set(digests).size, digests.length)
    for (const digest of digests) assert.equal(ready.get(digest), undefined)
  })

  it('forgets the oldest when it holds as many as it may', () => {
    const ready = new ReadyRequests()
    for (let index = 0; index <= rawDigestsMax; index++) ready.set(`${index}`, request('a'))
    assert.equal(ready.get('0'), undefined)
    assert.ok(ready.get('1'))
    assert.ok(ready.get(`${rawDigestsMax}`))
  })
})

describe('replyVariantOf()', () => {
  it('differs with everything that changes the bytes of a reply', () => {
    const parsed: ParsedRequest = {
      request: {
        ...emptyRequest,
        kind: 'chat',
        model: 'a',
        unknown: { api: 'openai', fields: {} },
      },
      stream: false,
      variant: '',
      warnings: [],
    }
    const variants = [
      replyVariantOf('chat_completions', parsed),
      replyVariantOf('completions', parsed),
      replyVariantOf('chat_completions', { ...parsed, stream: true }),
      replyVariantOf('chat_completions', { ...parsed, variant: 'usage' }),
      replyVariantOf('chat_completions', { ...parsed, request: { ...parsed.request, model: 'b' } }),
    ]
    assert.equal(new Set(variants).size, variants.length)
    assert.equal(replyVariantOf('completions', { ...parsed }), variants[1])
  })
})
