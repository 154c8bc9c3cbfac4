import { createHash } from 'node:crypto'
import type { Choice, ChoicePart, TokenLogprob } from '../interface/generation.ts'
import {
  type ChoiceForm,
  encodeChoices,
  encodeTokenLists,
  type LogprobForm,
  type PartForm,
} from '../wire/completion-form.ts'
import { quantiseLogprob } from '../wire/leaves.ts'

/**
 * SHA-256("hyperspace/completion/1" ‖ choices) as hex: everything of an answer that a client can
 * see, except counts (spec/receipts.md §3).
 */
export function textDigest(choices: readonly Choice[]): string {
  const hash = createHash('sha256').update('hyperspace/completion/1')
  return hash.update(encodeChoices(choices.map(formOf))).digest('hex')
}

/** SHA-256("hyperspace/tokens/1" ‖ token ids by choice) as hex. */
export function tokenDigest(lists: readonly (readonly number[])[]): string {
  const hash = createHash('sha256').update('hyperspace/tokens/1')
  return hash.update(encodeTokenLists(lists)).digest('hex')
}

/** The token ids by choice; undefined unless every choice has them. */
export function tokenListsOf(
  choices: readonly Choice[],
): readonly (readonly number[])[] | undefined {
  const lists = choices.flatMap(({ tokenIds }) => (tokenIds === undefined ? [] : [tokenIds]))
  return lists.length === choices.length ? lists : undefined
}

function formOf({ finish, stopSequence, parts, logprobs }: Choice): ChoiceForm {
  return [
    finish,
    stopSequence === undefined ? null : stopSequence.toWellFormed(),
    parts.map(partForm),
    logprobs?.map(logprobForm) ?? null,
  ]
}

/** Lone surrogates become U+FFFD, as they do in a stored record. */
function partForm(part: ChoicePart): PartForm {
  const texts =
    part.type === 'tool-call'
      ? [part.type, part.id, part.name, part.arguments]
      : [part.type, part.text]
  return texts.map(text => text.toWellFormed())
}

function logprobForm(entry: TokenLogprob): LogprobForm {
  return [...tokenForm(entry), entry.top.map(tokenForm)]
}

function tokenForm(entry: {
  readonly token: string
  readonly bytes: readonly number[]
  readonly logprob: number
}): readonly [string, Uint8Array, number] {
  const { token, bytes, logprob } = entry
  return [token.toWellFormed(), Uint8Array.from(bytes), quantiseLogprob(logprob)]
}
