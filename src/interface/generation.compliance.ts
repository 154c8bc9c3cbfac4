import assert from 'node:assert/strict'
import type { CompletionRequest } from '../key/completion-request.ts'
import type { EngineModel } from './engine.ts'
import type { GenerationEvent, Usage } from './generation.ts'

const { signal } = new AbortController()

/** An answer, checked against the event grammar. */
export interface CollectedAnswer {
  readonly events: readonly GenerationEvent[]
  readonly usage: Usage
  /** Finish reasons by choice. */
  readonly finishes: ReadonlyMap<number, string>
  text(choice: number): string
  toolArguments(choice: number, call: number): string
}

/** Runs a request to its end and checks the order of its events. */
export async function collect(
  model: EngineModel,
  request: CompletionRequest,
): Promise<CollectedAnswer> {
  const events: GenerationEvent[] = []
  for await (const event of model.generate(request, { seed: 7n, signal })) events.push(event)
  const finishes = assertGrammar(events, request.choiceCount)
  const last = events.at(-1)
  assert.ok(last?.type === 'usage')
  return {
    events,
    usage: last.usage,
    finishes,
    text: choice =>
      events
        .filter(event => event.type === 'text')
        .filter(event => event.choice === choice && event.kind === 'text')
        .map(event => event.text)
        .join(''),
    toolArguments: (choice, call) =>
      events
        .filter(event => event.type === 'tool-arguments')
        .filter(event => event.choice === choice && event.call === call)
        .map(event => event.text)
        .join(''),
  }
}

/** Checks `start delta* finish usage`, choice by choice. Returns the finish reasons. */
export function assertGrammar(
  events: readonly GenerationEvent[],
  choiceCount: number,
): ReadonlyMap<number, string> {
  const finishes = new Map<number, string>()
  const callCounts = new Map<number, number>()
  for (const [index, event] of events.entries()) {
    assert.equal(event.type === 'start', index === 0, 'start comes first, and once')
    assert.equal(event.type === 'usage', index === events.length - 1, 'usage comes last, and once')
    if (event.type === 'start' || event.type === 'usage') continue
    assert.ok(event.choice >= 0 && event.choice < choiceCount, 'the choice was asked for')
    assert.ok(!finishes.has(event.choice), 'nothing follows the finish of a choice')
    const callCount = callCounts.get(event.choice) ?? 0
    if (event.type === 'finish') finishes.set(event.choice, event.reason)
    if (event.type === 'tool-call') {
      assert.equal(event.call, callCount, 'calls are numbered in their order')
      callCounts.set(event.choice, callCount + 1)
    }
    if (event.type === 'tool-arguments') assert.ok(event.call < callCount, 'the call has begun')
  }
  assert.equal(finishes.size, choiceCount, 'every choice finishes')
  const last = events.at(-1)
  assert.ok(last?.type === 'usage')
  const { usage } = last
  for (const value of Object.values(usage)) assert.ok(Number.isSafeInteger(value) && value >= 0)
  assert.ok(usage.cachedTokens <= usage.promptTokens)
  assert.ok(usage.reasoningTokens <= usage.completionTokens)
  assertTokenIds(events, usage)
  return finishes
}

/** Where an engine tells token ids, it tells those of all choices, as many as it counts. */
function assertTokenIds(events: readonly GenerationEvent[], usage: Usage): void {
  const finishes = events.filter(event => event.type === 'finish')
  const lists = finishes.flatMap(({ tokenIds }) => (tokenIds === undefined ? [] : [tokenIds]))
  if (lists.length === 0) return
  assert.equal(lists.length, finishes.length, 'all choices tell their tokens')
  assert.equal(lists.flat().length, usage.completionTokens, 'tokens are as many as the usage says')
  assert.ok(lists.flat().every(id => Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff))
}
