import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Choice, ChoicePart, Completion, TokenLogprob } from '../../../interface/generation.ts'
import type { ModelId } from '../../../key/model-id.ts'
import { isJsonObject, type JsonObject } from '../../../std/json.ts'

/**
 * Random completions, and small decoders that read replies and streams as a client does. For tests
 * only.
 */
const text = fc.string({ unit: 'binary', maxLength: 12 })
const bytes = fc.array(fc.nat(255), { maxLength: 4 })
const logprob = fc.double({ min: -50, max: 0, noNaN: true }).map(value => value + 0)
/** As JSON.parse makes them. */
const plain = { noNullPrototype: true }
const topEntry = fc.record({ token: text, bytes, logprob }, plain)
const tokenLogprob: fc.Arbitrary<TokenLogprob> = fc.record(
  {
    token: text,
    bytes,
    logprob,
    top: fc.uniqueArray(topEntry, { maxLength: 2, selector: entry => entry.token }),
  },
  plain,
)
const part: fc.Arbitrary<ChoicePart> = fc.oneof(
  fc.record({ type: fc.constantFrom('text', 'reasoning', 'refusal'), text }),
  fc.record({
    type: fc.constant('tool-call'),
    id: fc.string(),
    name: fc.string({ minLength: 1 }),
    arguments: fc.oneof(fc.json(), text),
  }),
)
const choice: fc.Arbitrary<Choice> = fc
  .record({
    parts: fc.array(part, { maxLength: 5 }),
    finish: fc.constantFrom('stop', 'length', 'tool_calls', 'content_filter'),
    logprobs: fc.array(tokenLogprob, { maxLength: 3 }),
  })
  .map(({ logprobs, ...made }) => (logprobs.length === 0 ? made : { ...made, logprobs }))

export function aCompletion(options: { readonly choicesMax: number }): fc.Arbitrary<Completion> {
  return fc.record({
    modelId: fc.constant(`sha256:${'0'.repeat(64)}` as ModelId),
    created: fc.nat(),
    choices: fc.array(choice, { minLength: 1, maxLength: options.choicesMax }),
    usage: fc
      .record({
        cachedTokens: fc.nat(),
        cacheWriteTokens: fc.nat(),
        otherTokens: fc.nat(),
        completionTokens: fc.nat(),
        reasoningTokens: fc.nat(),
      })
      .map(({ otherTokens, ...counts }) => ({
        ...counts,
        promptTokens: counts.cachedTokens + counts.cacheWriteTokens + otherTokens,
      })),
  })
}

/** The JSON of every `data:` line but `[DONE]`. */
export function sseData(stream: string): readonly JsonObject[] {
  const blocks = stream.split('\n\n').slice(0, -1)
  return blocks.flatMap(block => {
    const line = block.split('\n').find(candidate => candidate.startsWith('data: '))
    assert.ok(line, 'every event has data')
    if (line === 'data: [DONE]') return []
    return [object(JSON.parse(line.slice('data: '.length)))]
  })
}

export interface Decoded {
  readonly choices: readonly unknown[]
  readonly usage: unknown
}

interface ChatChoice {
  text: string
  reasoning: string
  refusal: string
  calls: { id: string; name: string; arguments: string }[]
  logprobs: unknown[]
  finish: unknown
}

export function chatReply(reply: unknown): Decoded {
  const { choices, usage } = object(reply)
  return {
    choices: list(choices).map(entry => {
      const { message, logprobs, finish_reason } = object(entry)
      const { content, refusal, reasoning_content, tool_calls } = object(message)
      return {
        text: content ?? '',
        reasoning: reasoning_content ?? '',
        refusal: refusal ?? '',
        calls: list(tool_calls ?? []).map(call => {
          const { id, function: called } = object(call)
          return { id, ...object(called) }
        }),
        logprobs: chatLogprobs(logprobs),
        finish: finish_reason,
      }
    }),
    usage: chatUsage(usage),
  }
}

export function chatChunks(stream: string): Decoded {
  const choices: ChatChoice[] = []
  let usage: unknown
  for (const chunk of sseData(stream)) {
    if (chunk['usage'] !== null) usage = chatUsage(chunk['usage'])
    for (const entry of list(chunk['choices'])) {
      const { index, delta, logprobs, finish_reason } = object(entry)
      const at = Number(index)
      const seen = choices[at] ?? {
        text: '',
        reasoning: '',
        refusal: '',
        calls: [],
        logprobs: [],
        finish: null,
      }
      choices[at] = seen
      addDelta(seen, object(delta))
      seen.logprobs.push(...chatLogprobs(logprobs))
      if (finish_reason !== null) seen.finish = finish_reason
    }
  }
  return { choices, usage }
}

function addDelta(seen: ChatChoice, delta: JsonObject): void {
  seen.text += delta['content'] ?? ''
  seen.reasoning += delta['reasoning_content'] ?? ''
  seen.refusal += delta['refusal'] ?? ''
  for (const entry of list(delta['tool_calls'] ?? [])) {
    const { index, id, type, function: called } = object(entry)
    const at = Number(index)
    const { name, arguments: args } = object(called)
    if (id !== undefined) {
      assert.equal(type, 'function')
      seen.calls[at] = { id: String(id), name: String(name), arguments: '' }
    }
    const call = seen.calls[at]
    assert.ok(call, 'a call is opened before its arguments')
    call.arguments += String(args)
  }
}

/** Back to our own form. */
function chatLogprobs(logprobs: unknown): readonly unknown[] {
  if (logprobs === null) return []
  return list(object(logprobs)['content']).map(entry => {
    const { top_logprobs, ...rest } = object(entry)
    return { ...rest, top: top_logprobs }
  })
}

function chatUsage(usage: unknown): unknown {
  const told = object(usage)
  return {
    prompt: told['prompt_tokens'],
    cached: object(told['prompt_tokens_details'])['cached_tokens'],
    written: object(told['prompt_tokens_details'])['cache_write_tokens'],
    completion: told['completion_tokens'],
    reasoning: object(told['completion_tokens_details'])['reasoning_tokens'],
    total: told['total_tokens'],
  }
}

export function textReply(reply: unknown): Decoded {
  const { choices, usage } = object(reply)
  return {
    choices: list(choices).map(entry => {
      const { text: said, logprobs, finish_reason } = object(entry)
      return { text: said, logprobs: readLegacy([logprobs]), finish: finish_reason }
    }),
    usage: chatUsage(usage),
  }
}

export function textChunks(stream: string): Decoded {
  const choices: { text: string; logprobs: unknown[]; finish: unknown }[] = []
  let usage: unknown
  for (const chunk of sseData(stream)) {
    if (chunk['usage'] !== null) usage = chatUsage(chunk['usage'])
    for (const entry of list(chunk['choices'])) {
      const { index, text: said, logprobs, finish_reason } = object(entry)
      const at = Number(index)
      const seen = choices[at] ?? { text: '', logprobs: [], finish: null }
      choices[at] = seen
      seen.text += String(said)
      seen.logprobs.push(logprobs)
      if (finish_reason !== null) seen.finish = finish_reason
    }
  }
  return {
    choices: choices.map(seen => ({ ...seen, logprobs: readLegacy(seen.logprobs) })),
    usage,
  }
}

/** The old shape of log-probabilities, row by row. */
export function legacyLogprobs(logprobs: readonly TokenLogprob[]): readonly unknown[] {
  let offset = 0
  return logprobs.map(entry => {
    const row = {
      token: entry.token,
      logprob: entry.logprob,
      top: Object.fromEntries(entry.top.map(other => [other.token, other.logprob])),
      offset,
    }
    offset += [...entry.token].length
    return row
  })
}

function readLegacy(told: readonly unknown[]): readonly unknown[] {
  return told.flatMap(logprobs => {
    if (logprobs === null) return []
    const { tokens, token_logprobs, top_logprobs, text_offset } = object(logprobs)
    return list(tokens).map((token, index) => ({
      token,
      logprob: list(token_logprobs)[index],
      top: list(top_logprobs)[index],
      offset: list(text_offset)[index],
    }))
  })
}

export interface DecodedResponse {
  /** The object of the last event. */
  readonly response: JsonObject
  /** The output, put together from the deltas alone. */
  readonly rebuilt: readonly JsonObject[]
}

/** Reads a stream of named events and checks their order on the way. */
export function responsesEvents(stream: string): DecodedResponse {
  const events = sseData(stream)
  events.forEach((event, index) => {
    assert.equal(event['sequence_number'], index)
  })
  assert.equal(events[0]?.['type'], 'response.created')
  assert.equal(events[1]?.['type'], 'response.in_progress')
  const output = new OutputReader()
  for (const event of events.slice(2, -1)) output.add(event)
  const last = object(events.at(-1))
  const response = object(last['response'])
  assert.notEqual(response['status'], 'in_progress', 'the stream has an end')
  assert.equal(last['type'], `response.${response['status']}`)
  return { response, rebuilt: output.items }
}

type Mutable = { [name: string]: unknown }

class OutputReader {
  readonly #items: Mutable[] = []
  readonly #done: JsonObject[] = []

  get items(): readonly JsonObject[] {
    assert.equal(this.#done.length, this.#items.length, 'every item was closed')
    return this.#done
  }

  add(event: JsonObject): void {
    const at = Number(event['output_index'])
    const type = String(event['type'])
    if (type === 'response.output_item.added') {
      assert.equal(at, this.#items.length, 'items are opened in order')
      this.#items.push({ ...object(event['item']), parts: [] })
      return
    }
    const item = this.#items[at]
    assert.ok(item, `${type} belongs to an item`)
    if (type === 'response.output_item.done') {
      this.#close(item, object(event['item']), at)
      return
    }
    assert.equal(event['item_id'], item['id'])
    if (type.startsWith('response.function_call_arguments')) addArguments(item, type, event)
    else addPart(parts(item), type, event)
  }

  #close(item: Mutable, told: JsonObject, at: number): void {
    const { parts: gathered, ...rest } = item
    const rebuilt = 'content' in rest ? { ...rest, content: gathered } : rest
    assert.deepEqual({ ...rebuilt, status: told['status'] }, told, 'deltas add up to the item')
    this.#done[at] = told
  }
}

function parts(item: Mutable): Mutable[] {
  const gathered = item['parts']
  assert.ok(Array.isArray(gathered))
  return gathered
}

function addArguments(item: Mutable, type: string, event: JsonObject): void {
  if (type.endsWith('.delta')) item['arguments'] = `${item['arguments']}${event['delta']}`
  else assert.equal(event['arguments'], item['arguments'])
}

function addPart(gathered: Mutable[], type: string, event: JsonObject): void {
  if (type === 'response.content_part.added') {
    assert.equal(event['content_index'], gathered.length, 'parts are opened in order')
    gathered.push({ ...object(event['part']) })
    return
  }
  const open = gathered.at(-1)
  assert.ok(open, `${type} belongs to a part`)
  const field = open['type'] === 'refusal' ? 'refusal' : 'text'
  if (type === 'response.content_part.done') {
    assert.deepEqual(event['part'], open)
  } else if (type.endsWith('.delta')) {
    open[field] = `${open[field]}${event['delta']}`
    if (open['logprobs'] !== undefined) {
      open['logprobs'] = [...list(open['logprobs']), ...list(event['logprobs'])]
    }
  } else {
    assert.equal(event[field], open[field])
    assert.deepEqual(event['logprobs'], open['logprobs'])
  }
}

function object(value: unknown): JsonObject {
  assert.ok(isJsonObject(value), 'an object')
  return value
}

function list(value: unknown): readonly unknown[] {
  assert.ok(Array.isArray(value), 'a list')
  return value
}
