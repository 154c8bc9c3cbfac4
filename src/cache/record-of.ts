import { OperationError } from '../errors.ts'
import type {
  Choice,
  ChoicePart,
  Completion,
  FinishReason,
  TextKind,
  TokenLogprob,
} from '../interface/generation.ts'
import type { RecordChoice, RecordLogprob, ResponseRecord } from '../wire/response-record.ts'

/** A finished answer and what is kept beside it, as the record codec's plain values. */
export function recordOf(
  completion: Completion,
  made: {
    readonly costMs: number
    readonly maxTokens: number | undefined
    /** Signed, as it travels with the answer (spec/receipts.md). */
    readonly receipt?: Uint8Array
  },
): ResponseRecord {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = completion.usage
  return {
    modelId: completion.modelId,
    created: completion.created,
    costMs: Math.max(0, Math.round(made.costMs)),
    maxTokens: made.maxTokens ?? null,
    usage: [promptTokens, cachedTokens, completionTokens, reasoningTokens],
    choices: completion.choices.map(recordChoice),
    ...(made.receipt === undefined ? {} : { receipt: made.receipt }),
  }
}

/** @throws record_invalid when kinds or reasons are not ours */
export function completionOf(record: ResponseRecord): Completion {
  const [promptTokens, cachedTokens, completionTokens, reasoningTokens] = record.usage
  return {
    modelId: record.modelId,
    created: record.created,
    choices: record.choices.map(choiceOf),
    usage: { promptTokens, cachedTokens, completionTokens, reasoningTokens },
  }
}

function recordChoice(choice: Choice): RecordChoice {
  return {
    finish: choice.finish,
    parts: choice.parts.map(part =>
      part.type === 'tool-call'
        ? [part.type, part.id, part.name, part.arguments]
        : [part.type, part.text],
    ),
    ...(choice.stopSequence === undefined ? {} : { stopSequence: choice.stopSequence }),
    ...(choice.logprobs === undefined ? {} : { logprobs: choice.logprobs.map(recordLogprob) }),
    ...(choice.tokenIds === undefined ? {} : { tokenIds: choice.tokenIds }),
  }
}

function recordLogprob(entry: TokenLogprob): RecordLogprob {
  const top = entry.top.map(
    other => [other.token, Uint8Array.from(other.bytes), other.logprob] as const,
  )
  return [entry.token, Uint8Array.from(entry.bytes), entry.logprob, top]
}

function choiceOf(choice: RecordChoice): Choice {
  return {
    parts: choice.parts.map(partOf),
    finish: finishOf(choice.finish),
    ...(choice.stopSequence === undefined ? {} : { stopSequence: choice.stopSequence }),
    ...(choice.logprobs === undefined ? {} : { logprobs: choice.logprobs.map(logprobOf) }),
    ...(choice.tokenIds === undefined ? {} : { tokenIds: choice.tokenIds }),
  }
}

function logprobOf([token, bytes, logprob, top]: RecordLogprob): TokenLogprob {
  return {
    token,
    bytes: [...bytes],
    logprob,
    top: top.map(([other, otherBytes, otherLogprob]) => ({
      token: other,
      bytes: [...otherBytes],
      logprob: otherLogprob,
    })),
  }
}

const textKinds: readonly TextKind[] = ['text', 'reasoning', 'refusal']
const finishReasons: readonly FinishReason[] = ['stop', 'length', 'tool_calls', 'content_filter']

function partOf(part: readonly string[]): ChoicePart {
  const [type, first, second, third] = part
  if (type === 'tool-call' && first !== undefined && second !== undefined && third !== undefined) {
    return { type, id: first, name: second, arguments: third }
  }
  const kind = textKinds.find(candidate => candidate === type)
  if (kind === undefined || first === undefined || part.length !== 2) throw unknown('part')
  return { type: kind, text: first }
}

function finishOf(reason: string): FinishReason {
  const known = finishReasons.find(candidate => candidate === reason)
  if (known === undefined) throw unknown('finish reason')
  return known
}

function unknown(what: string): OperationError {
  return new OperationError('record_invalid', `Cannot read the record: its ${what} is unknown`, {
    origin: 'store',
  })
}
