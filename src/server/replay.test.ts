import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { eventsOf } from '../cache/events-of.ts'
import type { Choice, Completion, GenerationEvent } from '../interface/generation.ts'
import { modelIdFromName } from '../key/model-id.ts'
import { messages } from './anthropic/messages.ts'
import { ollamaChat } from './ollama/chat.ts'
import { ollamaGenerate } from './ollama/generate.ts'
import { toolInput } from './tool-input.ts'
import type { ReplyContext, WireFormat } from './wire-format.ts'

const tokenCount = fc.nat({ max: 1_000_000 })
const words = fc.string({ unit: 'grapheme', maxLength: 12 })
const callArguments = fc.oneof(
  fc.dictionary(fc.string(), fc.jsonValue()).map(value => JSON.stringify(value)),
  fc.constantFrom('', '{"city": "Os', '[1]', 'null', '{ "x" : 1.0 }'),
)
const part = fc.oneof(
  fc.record({ type: fc.constantFrom('text', 'reasoning', 'refusal'), text: words }),
  fc.record({
    type: fc.constant('tool-call' as const),
    id: fc.uuid(),
    name: fc.constantFrom('weather', 'read_file'),
    arguments: callArguments,
  }),
)
const finish = fc.constantFrom('stop', 'length', 'tool_calls', 'content_filter')
const choice: fc.Arbitrary<Choice> = fc
  .record({
    parts: fc.array(part, { maxLength: 6 }),
    finish,
    stopSequence: fc.option(words, { nil: undefined }),
  })
  .map(({ stopSequence, ...rest }) =>
    stopSequence === undefined || rest.finish !== 'stop' ? rest : { ...rest, stopSequence },
  )
const completion: fc.Arbitrary<Completion> = fc
  .tuple(choice, fc.array(tokenCount, { minLength: 4 }), fc.nat({ max: 2_000_000_000 }))
  .map(([one, [promptTokens = 0, cached = 0, written = 0, completionTokens = 0], created]) => ({
    modelId: modelIdFromName('m'),
    created,
    choices: [one],
    usage: {
      promptTokens,
      cachedTokens: Math.min(cached, promptTokens),
      // Some of it may have been cached before.
      cacheWriteTokens: Math.min(written, promptTokens),
      completionTokens,
      reasoningTokens: Math.floor(completionTokens / 2),
    },
  }))

/** The events of an answer with its texts cut into pieces, as an engine sends them. */
function* piecewise(answer: Completion, pieceLength: number): Generator<GenerationEvent> {
  for (const event of eventsOf(answer)) {
    if (event.type !== 'text' && event.type !== 'tool-arguments') {
      yield event
      continue
    }
    for (let start = 0; start < event.text.length; start += pieceLength) {
      yield { ...event, text: event.text.slice(start, start + pieceLength) }
    }
  }
}

function streamed(
  format: WireFormat,
  events: Iterable<GenerationEvent>,
  context: ReplyContext,
): string {
  const encoder = format.openStream(context)
  let text = ''
  for (const event of events) text += encoder.encode(event)
  return text + encoder.end()
}

function contextOf(format: WireFormat, answer: Completion, isHit: boolean): ReplyContext {
  const question = { model: 'm', max_tokens: 9, prompt: 'Hi' }
  const body =
    format.api === 'ollama_generate'
      ? question
      : { ...question, messages: [{ role: 'user', content: 'Hi' }] }
  return {
    id: '0123456789abcdef01234567',
    created: answer.created,
    parsed: format.parse(body),
    isHit,
  }
}

/** Checks that an answer reads the same as a body and as a stream, and what it reads as. */
function checkReplays<Reply>(
  format: WireFormat,
  decodeStream: (text: string) => Reply,
  expect: (reply: Reply, answer: Completion, isHit: boolean) => void,
): void {
  const property = fc.property(
    completion,
    fc.boolean(),
    fc.integer({ min: 1, max: 5 }),
    (answer, isHit, pieceLength) => {
      const context = contextOf(format, answer, isHit)
      const body: Reply = JSON.parse(format.encodeReply(answer, context), (name, value) =>
        // Streams tell it at their beginning, when it is not known.
        name === 'cache_creation' ? undefined : value,
      )
      const whole = streamed(format, eventsOf(answer), context)
      assert.deepEqual(decodeStream(whole), body)
      assert.deepEqual(
        decodeStream(streamed(format, piecewise(answer, pieceLength), context)),
        body,
      )
      assert.equal(streamed(format, eventsOf(answer), context), whole)
      expect(body, answer, isHit)
    },
  )
  fc.assert(property, { numRuns: 200 })
}

const textOf = (answer: Completion, ...kinds: readonly string[]): string =>
  (answer.choices[0]?.parts ?? [])
    .map(one => (one.type !== 'tool-call' && kinds.includes(one.type) ? one.text : ''))
    .join('')
const callsOf = (answer: Completion) =>
  (answer.choices[0]?.parts ?? []).filter(one => one.type === 'tool-call')

interface Block {
  type: string
  text?: string
  thinking?: string
  signature?: string
  id?: string
  name?: string
  input?: unknown
}
interface Message {
  id: string
  content: Block[]
  stop_reason: string | null
  stop_sequence: string | null
  usage: { [name: string]: number }
}
interface MessageEvent {
  type: string
  index: number
  message: Message
  content_block: Block
  delta: { type: string; text: string; thinking: string; signature: string; partial_json: string }
  usage: Message['usage']
}

/** A strict reader of Anthropic's streams: blocks in order, each opened and closed once. */
function decodeMessages(text: string): Message {
  const events: MessageEvent[] = text
    .split('\n\n')
    .slice(0, -1)
    .map(frame => {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(frame) ?? []
      const event: MessageEvent = JSON.parse(data ?? '')
      assert.equal(event.type, name)
      return event
    })
  const first = events.shift()
  assert.equal(first?.type, 'message_start')
  assert.equal(events.pop()?.type, 'message_stop')
  const delta = events.pop()
  assert.equal(delta?.type, 'message_delta')
  assert.ok(first !== undefined && delta !== undefined)
  const { message } = first
  const inputs = new Map<number, string>()
  let open: number | undefined
  for (const event of events) {
    if (event.type === 'content_block_start') {
      assert.equal(open, undefined)
      assert.equal(event.index, message.content.length)
      open = event.index
      message.content.push(event.content_block)
      continue
    }
    assert.equal(event.index, open)
    if (event.type === 'content_block_stop') open = undefined
    else applyDelta(message.content[event.index], event, inputs)
  }
  assert.equal(open, undefined)
  for (const [index, json] of inputs) {
    const block = message.content[index]
    if (block !== undefined) block.input = toolInput(json)
  }
  return { ...message, ...delta.delta, usage: delta.usage }
}

function applyDelta(block: Block | undefined, event: MessageEvent, inputs: Map<number, string>) {
  assert.ok(block)
  assert.equal(event.type, 'content_block_delta')
  const { type, text, thinking, signature, partial_json } = event.delta
  if (type === 'text_delta') block.text += text
  else if (type === 'thinking_delta') block.thinking += thinking
  else if (type === 'signature_delta') block.signature = signature
  else inputs.set(event.index, (inputs.get(event.index) ?? '') + partial_json)
}

interface Line {
  model: string
  created_at: string
  message?: Piece
  response?: string
  thinking?: string
  tool_calls?: OllamaCall[]
  done: boolean
  done_reason?: string
  prompt_eval_count: number
  eval_count: number
}
interface OllamaCall {
  id: string
  function: { index: number; name: string; arguments: unknown }
}
interface Piece {
  role?: string
  content: string
  thinking?: string
  tool_calls?: OllamaCall[]
}

function linesOf(text: string): Line[] {
  assert.ok(text.endsWith('\n'))
  const lines: Line[] = text
    .slice(0, -1)
    .split('\n')
    .map(line => JSON.parse(line))
  assert.deepEqual(
    lines.map(line => line.done),
    lines.map((_, index) => index === lines.length - 1),
  )
  return lines
}

function joinPieces(pieces: readonly Piece[]): Piece {
  const thinking = pieces.map(piece => piece.thinking ?? '').join('')
  const calls = pieces.flatMap(piece => piece.tool_calls ?? [])
  return {
    content: pieces.map(piece => piece.content).join(''),
    ...(thinking === '' ? {} : { thinking }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  }
}

function decodeChat(text: string): Line {
  const lines = linesOf(text)
  const last = lines.at(-1)
  assert.ok(last)
  const pieces = lines.map(line => line.message ?? { content: 'no message' })
  return { ...last, message: { role: 'assistant', ...joinPieces(pieces) } }
}

function decodeGenerate(text: string): Line {
  const lines = linesOf(text)
  const last = lines.at(-1)
  assert.ok(last)
  const pieces = lines.map(({ response, ...line }) => ({
    ...line,
    content: response ?? 'no response',
  }))
  const { content, ...rest } = joinPieces(pieces)
  return { ...last, response: content, ...rest }
}

const stopReasons: { readonly [finish: string]: string } = {
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
}

describe('a stored answer replayed', () => {
  it('is the same message as a body and as a stream of /v1/messages', () => {
    checkReplays(messages, decodeMessages, (message, answer, isHit) => {
      const blocks = message.content
      assert.equal(message.id, 'msg_0123456789abcdef01234567')
      assert.equal(blocks.map(one => one.text ?? '').join(''), textOf(answer, 'text', 'refusal'))
      assert.equal(blocks.map(one => one.thinking ?? '').join(''), textOf(answer, 'reasoning'))
      assert.deepEqual(
        blocks.filter(one => one.type === 'tool_use'),
        callsOf(answer).map(({ id, name, arguments: json }) => ({
          type: 'tool_use',
          id,
          name,
          input: toolInput(json),
        })),
      )
      const { promptTokens, cachedTokens, completionTokens } = answer.usage
      const { usage } = message
      assert.equal(usage['cache_read_input_tokens'], isHit ? promptTokens : cachedTokens)
      const inputs = ['input_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens']
      const counts = inputs.map(name => usage[name] ?? Number.NaN)
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        promptTokens,
      )
      assert.ok(counts.every(count => count >= 0) && (!isHit || counts[2] === 0))
      assert.equal(usage['output_tokens'], completionTokens)
      const only = answer.choices[0]
      const expected = stopReasons[only?.finish ?? '']
      if (expected !== undefined) assert.equal(message.stop_reason, expected)
      if (message.stop_reason === 'stop_sequence') {
        assert.equal(message.stop_sequence, only?.stopSequence)
      } else {
        assert.equal(message.stop_sequence, null)
      }
    })
  })

  it('is the same answer as a body and as a stream of /api/chat', () => {
    checkReplays(ollamaChat, decodeChat, (line, answer) => {
      assert.equal(line.message?.content, textOf(answer, 'text', 'refusal'))
      assert.equal(line.message?.thinking ?? '', textOf(answer, 'reasoning'))
      const calls = (line.message?.tool_calls ?? []).map(call => call.function)
      assert.deepEqual(
        calls,
        callsOf(answer).map(({ name, arguments: json }, index) => ({
          index,
          name,
          arguments: toolInput(json),
        })),
      )
      expectCounts(line, answer)
    })
  })

  it('is the same answer as a body and as a stream of /api/generate', () => {
    checkReplays(ollamaGenerate, decodeGenerate, (line, answer) => {
      assert.equal(line.response, textOf(answer, 'text', 'refusal'))
      assert.equal(line.thinking ?? '', textOf(answer, 'reasoning'))
      expectCounts(line, answer)
    })
  })
})

function expectCounts(line: Line, answer: Completion): void {
  assert.equal(line.prompt_eval_count, answer.usage.promptTokens)
  assert.equal(line.eval_count, answer.usage.completionTokens)
  assert.equal(line.created_at, new Date(answer.created * 1_000).toISOString())
  const reason = answer.choices[0]?.finish
  assert.equal(line.done_reason, reason === 'tool_calls' ? 'stop' : reason)
}
