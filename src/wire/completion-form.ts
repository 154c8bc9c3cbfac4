import { encode } from 'cborg'
import { packTokenIds } from './token-ids.ts'

/**
 * A choice as it is hashed (spec/receipts.md §3): [finish reason, stop string or null, parts,
 * log-probabilities or null].
 */
export type ChoiceForm = readonly [
  finish: string,
  stopSequence: string | null,
  parts: readonly PartForm[],
  logprobs: readonly LogprobForm[] | null,
]
/** [kind, text] or ["tool-call", id, name, arguments] */
export type PartForm = readonly string[]
/** [token, bytes, log-probability in 1/1024 nat, [[token, bytes, log-probability] …]] */
export type LogprobForm = readonly [string, Uint8Array, number, readonly TopForm[]]
export type TopForm = readonly [string, Uint8Array, number]

/** The choices as deterministic CBOR. */
export function encodeChoices(choices: readonly ChoiceForm[]): Uint8Array {
  return encode(choices)
}

/** The choices' token ids as deterministic CBOR: one byte string each, u32-LE per token. */
export function encodeTokenLists(lists: readonly (readonly number[])[]): Uint8Array {
  return encode(lists.map(packTokenIds))
}
