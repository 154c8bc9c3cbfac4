import type { Choice, Completion, GenerationEvent } from '../interface/generation.ts'

/**
 * A finished answer as the stream that it came from, with each part in one piece: what a replay
 * sends.
 */
export function* eventsOf(completion: Completion): Generator<GenerationEvent> {
  const { promptTokens, cachedTokens } = completion.usage
  yield { type: 'start', promptTokens, cachedTokens }
  for (const [index, choice] of completion.choices.entries()) yield* choiceEvents(choice, index)
  yield { type: 'usage', usage: completion.usage }
}

function* choiceEvents(choice: Choice, index: number): Generator<GenerationEvent> {
  let call = 0
  let logprobs = choice.logprobs
  for (const part of choice.parts) {
    if (part.type === 'tool-call') {
      yield { type: 'tool-call', choice: index, call, id: part.id, name: part.name }
      yield { type: 'tool-arguments', choice: index, call, text: part.arguments }
      call += 1
      continue
    }
    // The record keeps one list for the whole choice; the visible text is where clients look for
    // it.
    const carried = part.type === 'text' ? logprobs : undefined
    if (carried !== undefined) logprobs = undefined
    yield {
      type: 'text',
      choice: index,
      kind: part.type,
      text: part.text,
      ...(carried === undefined ? {} : { logprobs: carried }),
    }
  }
  if (logprobs !== undefined) {
    yield { type: 'text', choice: index, kind: 'text', text: '', logprobs }
  }
  yield {
    type: 'finish',
    choice: index,
    reason: choice.finish,
    ...(choice.stopSequence === undefined ? {} : { stopSequence: choice.stopSequence }),
    ...(choice.tokenIds === undefined ? {} : { tokenIds: choice.tokenIds }),
  }
}
