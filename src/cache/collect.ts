import type {
  Choice,
  ChoicePart,
  Completion,
  FinishEvent,
  GenerationEvent,
  TextKind,
  TokenLogprob,
  Usage,
} from '../interface/generation.ts'
import type { ModelId } from '../key/model-id.ts'

interface OpenChoice {
  readonly parts: OpenPart[]
  readonly logprobs: TokenLogprob[]
  finish?: FinishEvent
}

/**
 * Text is gathered as pieces and joined once: appending to a string per token is quadratic in V8's
 * worst case.
 */
type OpenPart =
  | { readonly type: TextKind; readonly pieces: string[] }
  | {
      readonly type: 'tool-call'
      call: number
      id: string
      name: string
      readonly pieces: string[]
    }

/** Gathers a stream of events into a finished answer. */
export class CompletionCollector {
  readonly #choices: OpenChoice[] = []
  #usage: Usage | undefined

  add(event: GenerationEvent): void {
    if (event.type === 'start') return
    if (event.type === 'usage') {
      this.#usage = event.usage
      return
    }
    const choice = this.#choice(event.choice)
    switch (event.type) {
      case 'text':
        if (event.logprobs !== undefined) choice.logprobs.push(...event.logprobs)
        if (event.text !== '') addText(choice.parts, event.kind, event.text)
        return
      case 'tool-call':
        choice.parts.push({ ...event, type: 'tool-call', pieces: [] })
        return
      case 'tool-arguments':
        addArguments(choice.parts, event.call, event.text)
        return
      case 'finish':
        choice.finish = event
    }
  }

  /**
   * The answer, or undefined while a choice has no end or the usage has not come: a cut-off stream
   * is no answer.
   */
  result(modelId: ModelId, created: number): Completion | undefined {
    const choices: Choice[] = []
    for (const open of this.#choices) {
      if (open?.finish === undefined) return undefined
      choices.push(closeChoice(open, open.finish))
    }
    if (this.#usage === undefined || choices.length === 0) return undefined
    return { modelId, created, choices, usage: this.#usage }
  }

  #choice(index: number): OpenChoice {
    while (this.#choices.length <= index) this.#choices.push({ parts: [], logprobs: [] })
    const choice = this.#choices[index]
    if (choice === undefined) throw new RangeError(`Choice ${index} is not a choice`)
    return choice
  }
}

function addText(parts: OpenPart[], kind: TextKind, text: string): void {
  const last = parts.at(-1)
  if (last?.type === kind) last.pieces.push(text)
  else parts.push({ type: kind, pieces: [text] })
}

function addArguments(parts: OpenPart[], call: number, text: string): void {
  const part = parts.findLast(
    candidate => candidate.type === 'tool-call' && candidate.call === call,
  )
  if (part === undefined)
    throw new RangeError(`Arguments came for tool call ${call}, which did not begin`)
  part.pieces.push(text)
}

function closeChoice(open: OpenChoice, finish: FinishEvent): Choice {
  return {
    parts: open.parts.map(closePart),
    finish: finish.reason,
    ...(finish.stopSequence === undefined ? {} : { stopSequence: finish.stopSequence }),
    ...(open.logprobs.length === 0 ? {} : { logprobs: open.logprobs }),
    ...(finish.tokenIds === undefined ? {} : { tokenIds: finish.tokenIds }),
  }
}

function closePart(part: OpenPart): ChoicePart {
  const text = part.pieces.join('')
  if (part.type !== 'tool-call') return { type: part.type, text }
  return { type: 'tool-call', id: part.id, name: part.name, arguments: text }
}
