import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OperationError } from '../../../errors.ts'
import { canonicalRequest } from '../../../key/canonical-request.ts'
import { modelIdFromName } from '../../../key/model-id.ts'
import type { JsonObject } from '../../../std/json.ts'
import type { WireFormat } from '../../wire-format.ts'
import { chatCompletions } from '../chat-completions.ts'
import { completions } from '../completions.ts'
import { responses } from '../responses.ts'

const prompt_cache_breakpoint = { mode: 'explicit' }
const text = (value: string) => ({ type: 'text', text: value })
const marked = (part: JsonObject) => ({ ...part, prompt_cache_breakpoint })
const chat: JsonObject = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
const response: JsonObject = { model: 'm', input: 'Hi' }

const cacheOf = (format: WireFormat, body: JsonObject) => format.parse(body).request.cache

function faultOf(format: WireFormat, body: JsonObject): { code: string; field?: string } {
  try {
    format.parse(body)
  } catch (error) {
    assert.ok(error instanceof OperationError)
    return { code: error.code, ...(error.field === undefined ? {} : { field: error.field }) }
  }
  assert.fail('It was taken')
}

describe('prompt_cache_* of the OpenAI APIs', () => {
  it('marks the parts that have a breakpoint', () => {
    const fn = { name: 'f', parameters: {} }
    const cache = cacheOf(chatCompletions, {
      ...chat,
      tools: [{ type: 'function', function: fn, cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'system', content: [marked(text('Be kind')), text('Be brief')] },
        { role: 'user', content: [text('Hi'), marked(text('there'))] },
      ],
    })
    assert.deepEqual(cache, {
      marks: [
        { after: 'tools' },
        { after: 'message', message: 0, part: 0 },
        { after: 'message', message: 1, part: 1 },
      ],
      isMarked: false,
    })
  })

  it('marks the same in items of responses, behind the instructions', () => {
    const cache = cacheOf(responses, {
      ...response,
      instructions: 'Be kind',
      input: [
        { role: 'user', content: [marked({ type: 'input_text', text: 'Hi' })] },
        { type: 'function_call', call_id: '1', name: 'f', arguments: '{}' },
        {
          type: 'function_call_output',
          call_id: '1',
          output: [marked({ type: 'input_text', text: 'done' })],
        },
      ],
    })
    assert.deepEqual(cache?.marks, [
      { after: 'message', message: 1, part: 0 },
      { after: 'message', message: 3, part: 0 },
    ])
  })

  it('keeps the latest four, or three beside the implicit one', () => {
    const content = Array.from({ length: 6 }, () => marked(text('x')))
    const body = { ...chat, messages: [{ role: 'user', content }] }
    const partsOf = (fields: JsonObject) =>
      cacheOf(chatCompletions, { ...body, ...fields })?.marks.map(mark =>
        mark.after === 'message' ? mark.part : 'tools',
      )
    assert.deepEqual(partsOf({}), [3, 4, 5])
    assert.deepEqual(partsOf({ prompt_cache_options: { mode: 'explicit' } }), [2, 3, 4, 5])
  })

  it('wants the whole prompt cached at once for a key, options or a day', () => {
    const forms: readonly (readonly [WireFormat, JsonObject])[] = [
      [chatCompletions, chat],
      [responses, response],
      [completions, { model: 'm', prompt: 'Hi' }],
    ]
    for (const [format, body] of forms) {
      const asks: readonly JsonObject[] = [
        { prompt_cache_key: 'k' },
        { prompt_cache_options: { mode: 'implicit' } },
        { prompt_cache_options: {} },
        { prompt_cache_retention: '24h' },
      ]
      for (const ask of asks) assert.equal(cacheOf(format, { ...body, ...ask })?.isMarked, true)
      const not: readonly JsonObject[] = [
        {},
        { prompt_cache_key: '', prompt_cache_retention: 'in_memory' },
        { prompt_cache_key: 'k', prompt_cache_options: { mode: 'explicit' } },
        { prompt_cache_key: null, prompt_cache_options: null, prompt_cache_retention: null },
      ]
      for (const ask of not) assert.equal(cacheOf(format, { ...body, ...ask }), undefined)
    }
  })

  it('reads how long it should stay', () => {
    const keepOf = (fields: JsonObject) =>
      cacheOf(responses, { ...response, prompt_cache_key: 'k', ...fields })?.keepSeconds
    assert.equal(keepOf({}), undefined)
    assert.equal(keepOf({ prompt_cache_options: { ttl: '30m' } }), 1_800)
    assert.equal(keepOf({ prompt_cache_options: { ttl: '12h' } }), 43_200)
    assert.equal(keepOf({ prompt_cache_retention: '24h' }), 86_400)
    const part = { type: 'input_text', text: 'x', prompt_cache_breakpoint }
    const long = { ...part, prompt_cache_breakpoint: { mode: 'explicit', ttl: '12h' } }
    assert.equal(keepOf({ input: [{ role: 'user', content: [part, long] }] }), 43_200)
  })

  it('asks for diagnostics with the id of an answer', () => {
    const withId = (comparison_response_id: string | null) =>
      responses.parse({ ...response, prompt_cache_options: { comparison_response_id } })
    assert.equal(withId('resp_1').request.cache?.wantsDiagnostics, true)
    assert.equal(withId(null).request.cache?.wantsDiagnostics, undefined)
    assert.notEqual(withId('resp_1').variant, withId(null).variant)
  })

  it('refuses another form, naming the field, and what is not done here', () => {
    const wrong: readonly (readonly [JsonObject, string])[] = [
      [{ prompt_cache_key: 1 }, 'prompt_cache_key'],
      [{ prompt_cache_retention: '1h' }, 'prompt_cache_retention'],
      [{ prompt_cache_options: 'on' }, 'prompt_cache_options'],
      [{ prompt_cache_options: { mode: 'auto' } }, 'prompt_cache_options.mode'],
      [{ prompt_cache_options: { ttl: '5m' } }, 'prompt_cache_options.ttl'],
    ]
    for (const [fields, field] of wrong) {
      for (const [format, body] of [
        [chatCompletions, chat] as const,
        [responses, response] as const,
      ]) {
        assert.deepEqual(faultOf(format, { ...body, ...fields }), {
          code: 'request_invalid',
          field,
        })
      }
    }
    const part = { ...text('x'), prompt_cache_breakpoint: { mode: 'implicit' } }
    const at = 'messages[0].content[0].prompt_cache_breakpoint.mode'
    assert.equal(
      faultOf(chatCompletions, { ...chat, messages: [{ role: 'user', content: [part] }] }).field,
      at,
    )
    const prewarm = { ...response, prompt_cache_options: { prewarm: true } }
    assert.equal(faultOf(responses, prewarm).code, 'unsupported')
  })

  it('changes no key', () => {
    const options = { modelId: modelIdFromName('m'), developerRole: false, sample: 0 }
    const bytesOf = (format: WireFormat, body: JsonObject): string =>
      Buffer.from(canonicalRequest(format.parse(body).request, options).bytes).toString()
    const hints = {
      prompt_cache_key: 'k',
      prompt_cache_retention: '24h',
      prompt_cache_options: { mode: 'explicit', ttl: '30m', comparison_response_id: 'resp_1' },
    }
    const messages = (part: JsonObject) => ({ messages: [{ role: 'user', content: [part] }] })
    assert.equal(
      bytesOf(chatCompletions, { ...chat, ...messages(marked(text('Hi'))), ...hints }),
      bytesOf(chatCompletions, { ...chat, ...messages(text('Hi')) }),
    )
    const input = (part: JsonObject) => ({ input: [{ role: 'user', content: [part] }] })
    const part = { type: 'input_text', text: 'Hi' }
    assert.equal(
      bytesOf(responses, { ...response, ...input(marked(part)), ...hints }),
      bytesOf(responses, { ...response, ...input(part) }),
    )
  })
})
