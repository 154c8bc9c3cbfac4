import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../errors.ts'
import { canonicalRequest } from '../../key/canonical-request.ts'
import { modelIdFromName } from '../../key/model-id.ts'
import type { JsonObject } from '../../std/json.ts'
import { parseCountTokens, parseMessages } from './parse-messages.ts'

const cache_control = { type: 'ephemeral' }
const text = (value: string) => ({ type: 'text', text: value })
const marked = (block: JsonObject) => ({ ...block, cache_control })
const question: JsonObject = {
  model: 'm',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Hi' }],
}
const tool = (name: string) => ({ name, input_schema: { type: 'object' } })

function cacheOf(fields: JsonObject) {
  return parseMessages({ ...question, ...fields }).request.cache
}

function faultOf(fields: JsonObject): { field: string | undefined; message: string } {
  try {
    cacheOf(fields)
  } catch (error) {
    assert.ok(error instanceof OperationError && error.code === 'request_invalid')
    return { field: error.field, message: error.message }
  }
  assert.fail('It was taken')
}

describe('cache_control of /v1/messages', () => {
  it('marks the tools, parts of the system prompt and of messages, in the prompt’s order', () => {
    const billing = marked(text('x-anthropic-billing-header: cch=1;'))
    const cache = cacheOf({
      tools: [tool('a'), marked(tool('b'))],
      system: [billing, text('Be brief'), marked(text('Be kind'))],
      messages: [{ role: 'user', content: [marked(text('Long text')), text('Question')] }],
    })
    assert.deepEqual(cache, {
      marks: [
        { after: 'tools' },
        { after: 'message', message: 0, part: 1 },
        { after: 'message', message: 1, part: 0 },
      ],
      isMarked: false,
      keepSeconds: 300,
    })
  })

  it('finds the neutral message of a result, a call and what stands between results', () => {
    const result = (id: string) => ({ type: 'tool_result', tool_use_id: id, content: 'x' })
    const call = (id: string) => ({ type: 'tool_use', id, name: 'a', input: {} })
    const messages = [
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: [text('Wait'), marked(call('1')), call('2')] },
      { role: 'user', content: [result('1'), text('and'), marked(result('2'))] },
    ]
    assert.deepEqual(cacheOf({ messages })?.marks, [
      { after: 'message', message: 1 },
      { after: 'message', message: 4 },
    ])
    const nested = { ...result('1'), is_error: true, content: [marked(text('Gone'))] }
    const [, before] = messages
    const inner = cacheOf({ messages: [before ?? {}, { role: 'user', content: [nested] }] })
    assert.deepEqual(inner?.marks.at(-1), { after: 'message', message: 1, part: 1 })
  })

  it('marks the end of the prompt for the whole body, once', () => {
    const content = [text('a'), text('b')]
    const automatic = cacheOf({
      cache_control: { ...cache_control, ttl: '1h' },
      messages: [{ role: 'user', content }],
    })
    assert.deepEqual(automatic, {
      marks: [{ after: 'message', message: 0 }],
      isMarked: true,
      keepSeconds: 3_600,
    })
    const both = cacheOf({
      cache_control,
      messages: [{ role: 'user', content: [text('a'), marked(text('b'))] }],
    })
    assert.deepEqual(both?.marks, [{ after: 'message', message: 0, part: 1 }])
  })

  it('is nothing where the client says nothing', () => {
    assert.equal(cacheOf({}), undefined)
    assert.equal(cacheOf({ cache_control: null, diagnostics: null }), undefined)
  })

  it('asks for diagnostics, on a first turn too', () => {
    for (const previous_message_id of ['msg_1', null]) {
      const cache = cacheOf({ diagnostics: { previous_message_id } })
      assert.deepEqual(cache, { marks: [], isMarked: false, wantsDiagnostics: true })
    }
    assert.equal(faultOf({ diagnostics: 'yes' }).field, 'diagnostics')
  })

  it('refuses another form, naming the field', () => {
    const wrong: readonly (readonly [JsonObject, string])[] = [
      [{ cache_control: true }, 'cache_control'],
      [{ cache_control: { type: 'persistent' } }, 'cache_control.type'],
      [{ cache_control: { type: 'ephemeral', ttl: '2h' } }, 'cache_control.ttl'],
      [{ tools: [{ ...tool('a'), cache_control: {} }] }, 'tools[0].cache_control.type'],
      [
        { system: [{ ...text('x'), cache_control: { ttl: '5m' } }] },
        'system[0].cache_control.type',
      ],
      [
        { messages: [{ role: 'user', content: [{ ...text('x'), cache_control: 'on' }] }] },
        'messages[0].content[0].cache_control',
      ],
    ]
    for (const [fields, field] of wrong) assert.equal(faultOf(fields).field, field)
  })

  it('takes four breakpoints and no fifth, the automatic one among them', () => {
    const blocks = (count: number) => Array.from({ length: count }, () => marked(text('x')))
    const body = (count: number) => ({
      system: blocks(1),
      messages: [{ role: 'user', content: [...blocks(count), text('?')] }],
    })
    assert.equal(cacheOf(body(3))?.marks.length, 4)
    const { field, message } = faultOf(body(4))
    assert.equal(field, 'messages[0].content[3].cache_control')
    assert.match(message, /5 blocks have 'cache_control', and at most 4 may/)
    assert.equal(faultOf({ ...body(3), cache_control }).field, 'cache_control')
    const { max_tokens: _, ...counted }: JsonObject = { ...question, ...body(4) }
    assert.throws(() => parseCountTokens(counted), OperationError)
  })

  it('changes no key', () => {
    const options = { modelId: modelIdFromName('m'), developerRole: false, sample: 0 }
    const bytesOf = (fields: JsonObject): string => {
      const { request } = parseMessages({ ...question, ...fields })
      return Buffer.from(canonicalRequest(request, options).bytes).toString()
    }
    const plain = { tools: [tool('a')], system: [text('Be kind')] }
    const all = { tools: [marked(tool('a'))], system: [marked(text('Be kind'))] }
    const diagnostics = { previous_message_id: 'msg_1' }
    assert.equal(bytesOf({ ...all, cache_control, diagnostics }), bytesOf(plain))
  })
})
