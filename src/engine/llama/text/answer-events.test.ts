import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerationEvent } from '../../../interface/generation.ts'
import { AnswerEvents, type AnswerEventsOptions } from './answer-events.ts'
import { TokenBytes } from './token-bytes.ts'

const vocabulary = [
  'He',
  'llo',
  'Ã',
  '©',
  ' END',
  '<think>',
  '</think>',
  '<|im_end|>',
  '<tool_call>{"name":"f"}</tool_call>',
]
const tokenBytes = new TokenBytes(
  { model: 'gpt2', tokens: vocabulary, tokenTypes: [1, 1, 1, 1, 4, 3, 3, 3, 4] },
  () => '',
)
const plain: AnswerEventsOptions = {
  choice: 0,
  seed: 5n,
  stop: [],
  reasoning: 'possible',
  toolFormat: 'hermes',
  toolNames: new Set(),
}

function run(
  tokenIds: readonly number[],
  options: Partial<AnswerEventsOptions> = {},
  logprob?: number,
): { events: GenerationEvent[]; answer: AnswerEvents } {
  const answer = new AnswerEvents(tokenBytes, { ...plain, ...options })
  const events: GenerationEvent[] = []
  for (const tokenId of tokenIds) {
    if (answer.isStopped) break
    events.push(...answer.push(logprob === undefined ? { tokenId } : { tokenId, logprob, top: [] }))
  }
  events.push(...answer.finish('stop'))
  return { events, answer }
}
const textOf = (events: readonly GenerationEvent[]): string =>
  events.map(event => (event.type === 'text' ? event.text : '')).join('')

describe('AnswerEvents', () => {
  it('never shows half a character', () => {
    const { events } = run([0, 2, 3])
    assert.deepEqual(events, [
      { type: 'text', choice: 0, kind: 'text', text: 'He' },
      { type: 'text', choice: 0, kind: 'text', text: 'é' },
      { type: 'finish', choice: 0, reason: 'stop', tokenIds: [0, 2, 3] },
    ])
    assert.equal(textOf(run([0, 2]).events), 'He\ufffd', 'unless no other half comes')
  })

  it('hides control tokens but reads the marks among them', () => {
    const { events, answer } = run([5, 0, 6, 1, 7])
    assert.deepEqual(
      events.slice(0, 2).map(event => event.type === 'text' && [event.kind, event.text]),
      [
        ['reasoning', 'He'],
        ['text', 'llo'],
      ],
    )
    assert.equal(answer.reasoningTokens, 3)
  })

  it('tells which stop string was met, and no log-probability beyond it', () => {
    const { events } = run([0, 1, 4, 0], { stop: [' END'] }, -1)
    assert.equal(textOf(events), 'Hello')
    assert.deepEqual(events.at(-1), {
      type: 'finish',
      choice: 0,
      reason: 'stop',
      stopSequence: ' END',
      tokenIds: [0, 1, 4],
    })
    const logprobs = events.flatMap(event => (event.type === 'text' ? (event.logprobs ?? []) : []))
    assert.deepEqual(
      logprobs.map(entry => entry.token),
      ['He', 'llo'],
    )
  })

  it('tells the log-probability of every token, also of those without text', () => {
    const { events } = run([0, 2, 3, 8], {}, -0.5)
    const logprobs = events.flatMap(event => (event.type === 'text' ? (event.logprobs ?? []) : []))
    assert.deepEqual(logprobs.flatMap(entry => entry.bytes).slice(2, 4), [0xc3, 0xa9])
    assert.equal(logprobs.length, 4)
  })

  it('numbers calls and derives their ids from the seed', () => {
    const calls = (seed: bigint): unknown[] =>
      run([8, 8], { seed }).events.flatMap(event => (event.type === 'tool-call' ? [event.id] : []))
    assert.equal(new Set(calls(1n)).size, 2)
    assert.deepEqual(calls(1n), calls(1n))
    assert.notDeepEqual(calls(1n), calls(2n))
    const last = run([8]).events.at(-1)
    assert.deepEqual(last, { type: 'finish', choice: 0, reason: 'tool_calls', tokenIds: [8] })
  })
})
