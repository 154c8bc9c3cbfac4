import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Json } from '../std/json.ts'
import { canonicalRequest } from './canonical-request.ts'
import { type CompletionRequest, emptyRequest, type Message } from './completion-request.ts'
import { modelIdFromName } from './model-id.ts'
import { fieldDigests, limitedKey, lookupKey, responseKey, seedOf } from './response-key.ts'
import { localScope } from './scope.ts'

const options = { modelId: modelIdFromName('m'), developerRole: false, sample: 0 }
const secret = new Uint8Array(32).fill(1)
const scope = localScope(secret, undefined)

function chat(more: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: 'm',
    messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
    unknown: { api: 'openai', fields: {} },
    ...more,
  }
}

const keyOf = (request: CompletionRequest, more: Partial<typeof options> = {}): string =>
  responseKey(scope, canonicalRequest(request, { ...options, ...more }))

describe('canonicalRequest()', () => {
  it('is the same for what means the same', () => {
    const plain = keyOf(chat())
    assert.equal(
      keyOf(chat({ sampling: { temperature: 1, topP: 1 } })),
      plain,
      'documented defaults',
    )
    assert.equal(keyOf(chat({ model: 'alias' })), plain, 'names of one model')
    assert.equal(keyOf(chat({ toolChoice: { type: 'required' } })), plain, 'no tools, no choice')
    assert.equal(keyOf(chat({ maxTokens: 100 })), plain, 'the limit is a condition, ADR 0002')
    assert.equal(keyOf(chat({ unknown: { api: 'anthropic', fields: {} } })), plain, 'the API')
  })

  it('differs for what means something else', () => {
    const variants: CompletionRequest[] = [
      chat(),
      chat({ kind: 'text', prompt: 'hi', messages: [] }),
      chat({ sampling: { temperature: 0 } }),
      chat({ sampling: { topK: 40 } }),
      chat({ seed: 1 }),
      chat({ stop: ['x'] }),
      chat({ choiceCount: 2 }),
      chat({ topLogprobs: 0 }),
      chat({ responseFormat: { type: 'json_object' } }),
      chat({ reasoning: { effort: 'low' } }),
      chat({ templateArgs: { enable_thinking: false } }),
      chat({ unknown: { api: 'openai', fields: { guided_regex: 'a' } } }),
      chat({ tools: [{ type: 'function', name: 'f' }] }),
      chat({ tools: [{ type: 'function', name: 'f' }], toolChoice: { type: 'none' } }),
      chat({ messages: [{ role: 'system', content: [{ type: 'text', text: 'hi' }] }] }),
      chat({ messages: [{ role: 'user', content: [{ type: 'text', text: 'hi ' }] }] }),
    ]
    assert.equal(new Set(variants.map(variant => keyOf(variant))).size, variants.length)
    assert.notEqual(keyOf(chat(), { sample: 1 }), keyOf(chat()))
    assert.notEqual(keyOf(chat(), { modelId: modelIdFromName('other') }), keyOf(chat()))
  })

  it('numbers tool call ids by appearance, so that random ids do not matter and links do', () => {
    const conversation = (first: string, second: string, answer: string): Message[] => [
      {
        role: 'assistant',
        content: [],
        toolCalls: [
          { id: first, name: 'f', arguments: '{}' },
          { id: second, name: 'f', arguments: '{}' },
        ],
      },
      { role: 'tool', toolCallId: answer, content: [{ type: 'text', text: '42' }] },
    ]
    const original = keyOf(chat({ messages: conversation('a', 'b', 'a') }))
    assert.equal(keyOf(chat({ messages: conversation('call_1', 'call_2', 'call_1') })), original)
    assert.notEqual(keyOf(chat({ messages: conversation('a', 'b', 'b') })), original)
  })

  it('writes the arguments of a call in one form, whatever the spaces and order', () => {
    const calling = (text: string): CompletionRequest =>
      chat({
        messages: [
          { role: 'assistant', content: [], toolCalls: [{ id: 'a', name: 'f', arguments: text }] },
        ],
      })
    const original = keyOf(calling('{"b":1,"a":[true]}'))
    assert.equal(keyOf(calling('{ "a": [true], "b": 1 }')), original)
    assert.notEqual(keyOf(calling('{"b":2,"a":[true]}')), original)
    assert.notEqual(
      keyOf(calling('{"b":9007199254740993}')),
      keyOf(calling('{"b":9007199254740992}')),
    )
    assert.notEqual(keyOf(calling('not json')), keyOf(calling('not  json')))
  })

  it('hashes developer as system only where the template treats them alike', () => {
    const as = (role: 'developer' | 'system'): CompletionRequest =>
      chat({ messages: [{ role, content: [{ type: 'text', text: 'be brief' }] }] })
    assert.equal(keyOf(as('developer')), keyOf(as('system')))
    const distinct = { developerRole: true }
    assert.notEqual(keyOf(as('developer'), distinct), keyOf(as('system'), distinct))
  })

  it('refuses what JSON does not carry exactly, naming the field', () => {
    const refused: [CompletionRequest, RegExp][] = [
      [chat({ seed: 2 ** 53 }), /'seed'/],
      [chat({ sampling: { temperature: Number.NaN } }), /'sampling.temperature'/],
      [
        chat({ messages: [{ role: 'user', content: [{ type: 'text', text: '\ud800' }] }] }),
        /'messages\[0\].content'/,
      ],
      [chat({ unknown: { api: 'openai', fields: { deep: [{ big: 1e300 }] } } }), /deep\[0\]\.big/],
      [chat({ templateArgs: { '\udfff': 1 } }), /template_args/],
    ]
    for (const [request, message] of refused) {
      assert.throws(() => keyOf(request), { code: 'request_invalid', message })
    }
  })

  it('does not depend on the order of properties', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })),
        fields => {
          const reversed: { [name: string]: Json } = Object.fromEntries(
            Object.entries(fields).toReversed(),
          )
          const forward = chat({ unknown: { api: 'openai', fields } })
          assert.equal(
            keyOf(chat({ unknown: { api: 'openai', fields: reversed } })),
            keyOf(forward),
          )
        },
      ),
    )
  })
})

describe('keys', () => {
  it('of different scopes, limits and uses never coincide', () => {
    const canonical = canonicalRequest(chat(), options)
    const key = responseKey(scope, canonical)
    const names = [
      key,
      responseKey(localScope(secret, 'tenant'), canonical),
      lookupKey(key),
      limitedKey(key, 0),
      limitedKey(key, 16),
    ]
    assert.equal(new Set(names).size, names.length)
    assert.ok(seedOf(key) >= 0n && seedOf(key) < 2n ** 64n)
  })

  it('fieldDigests() tells which fields differ, and nothing without the secret', () => {
    const digest = (request: CompletionRequest, by = secret): { [field: string]: string } =>
      fieldDigests(canonicalRequest(request, options).fields, by)
    const mine = digest(chat({ seed: 1 }))
    const theirs = digest(chat({ seed: 2 }))
    const differing = Object.keys(mine).filter(name => mine[name] !== theirs[name])
    assert.deepEqual(differing, ['seed'])
    assert.notEqual(digest(chat(), new Uint8Array(32).fill(2))['kind'], mine['kind'])
    assert.ok('messages[0]' in mine)
  })
})
