import { verify } from 'node:crypto'
import { OperationError } from '../errors.ts'
import type { Completion } from '../interface/generation.ts'
import type { ModelId } from '../key/model-id.ts'
import type { PeerId } from '../key/peer-id.ts'
import type { LookupKey } from '../key/response-key.ts'
import type { Clock } from '../std/clock.ts'
import type { Leaf } from '../wire/leaves.ts'
import {
  decodeReceipt,
  encodeReceiptBody,
  joinReceipt,
  type Receipt,
  type ReceiptFault,
  type SignedReceipt,
  upstreamClass,
} from '../wire/receipt.ts'
import { textDigest, tokenDigest, tokenListsOf } from './completion-digest.ts'
import type { IssuerKeys } from './issuer-keys.ts'
import { rootOfLeaves } from './leaves.ts'

/** Who signs: the node's own key. */
export interface ReceiptSigner {
  readonly peerId: PeerId
  /** Ed25519 over the message. */
  sign(message: Uint8Array): Uint8Array
}

/** What there is to say of an answer that this node has just computed. */
export interface ComputedAnswer {
  readonly lookupKey: LookupKey
  /** With token ids where the engine has tokens. */
  readonly completion: Completion
  readonly numericClass: string
  /** Of the sampler; undefined where an upstream drew. */
  readonly seed?: bigint
  /** One per token of all choices, in their order; undefined where they were not computed. */
  readonly leaves?: readonly Leaf[]
  /**
   * Leading prompt tokens whose KV state came from a peer and was not audited. @default 0
   */
  readonly unauditedTokens?: number
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** What a receipt must say to be of the answer in hand. */
export interface ReceiptExpectation extends ReceiptTime {
  readonly lookupKey: LookupKey
  readonly modelId: ModelId
  readonly completion: Completion
  /** Whether answers that nobody can recompute are taken on the issuer's word. */
  readonly acceptUpstream: boolean
}

export interface ReceiptTime {
  /** Milliseconds since 1970. */
  readonly now: number
  /** How far the issuer's clock may be off (`receiptClockSkewMs`). */
  readonly clockSkewMs: number
}

export type ReceiptCheck =
  | {
      readonly outcome: 'valid'
      readonly receipt: Receipt
      readonly checked: readonly ReceiptFact[]
    }
  | { readonly outcome: 'invalid'; readonly reason: ReceiptFault }

/** What can be checked without running a model. */
export type ReceiptFact =
  | 'signature'
  | 'dates'
  | 'key'
  | 'model'
  | 'counts'
  | 'finish'
  | 'text'
  | 'tokens'
  | 'leaves'

const domain = Buffer.from('hyperspace/receipt/2')

/** Signs what this node computed. Without token ids the class becomes `upstream`. */
export function issueReceipt(
  answer: ComputedAnswer,
  signer: ReceiptSigner,
  clock: Clock,
): Uint8Array {
  const { completion, leaves, unauditedTokens = 0 } = answer
  const { usage, choices } = completion
  const isUpstream = answer.numericClass === upstreamClass
  const lists = isUpstream ? undefined : tokenListsOf(choices)
  const issuedAt = clock.now()
  if (answer.expiresAt < issuedAt) throw new RangeError('A receipt must expire after its issue')
  assertCounts(lists, answer)
  const body = encodeReceiptBody({
    lookupKey: answer.lookupKey,
    modelId: completion.modelId,
    numericClass: lists === undefined ? upstreamClass : answer.numericClass,
    textDigest: textDigest(choices),
    tokenDigest: lists === undefined ? undefined : tokenDigest(lists),
    root: lists === undefined || leaves === undefined ? undefined : rootOfLeaves(leaves),
    counts: {
      promptTokens: usage.promptTokens,
      completionTokens: usage.completionTokens,
      reasoningTokens: usage.reasoningTokens,
    },
    unauditedTokens,
    finishes: choices.map(choice => choice.finish),
    seed: answer.seed,
    issuer: signer.peerId,
    issuedAt,
    expiresAt: answer.expiresAt,
  })
  return joinReceipt(body, signer.sign(Buffer.concat([domain, body])))
}

/** Checks what a receipt shows by itself: form, signature and dates. */
export function openReceipt(
  bytes: Uint8Array,
  { now, clockSkewMs }: ReceiptTime,
  keys: IssuerKeys,
): ReceiptCheck {
  const signed = decoded(bytes)
  if (signed === undefined) return invalid('malformed')
  const { receipt, body, signature } = signed
  const message = Buffer.concat([domain, body])
  if (!verify(null, message, keys.get(receipt.issuer), signature)) return invalid('signature-wrong')
  if (receipt.issuedAt > now + clockSkewMs) return invalid('from-future')
  if (receipt.expiresAt < now - clockSkewMs) return invalid('expired')
  return { outcome: 'valid', receipt, checked: ['signature', 'dates'] }
}

/** Checks that a receipt is of the answer in hand. Never throws for what a peer sent. */
export function verifyReceipt(
  bytes: Uint8Array,
  expected: ReceiptExpectation,
  keys: IssuerKeys,
): ReceiptCheck {
  const opened = openReceipt(bytes, expected, keys)
  if (opened.outcome === 'invalid') return opened
  const { receipt, checked } = opened
  const reason = mismatchOf(receipt, expected)
  if (reason !== undefined) return invalid(reason)
  const facts: readonly ReceiptFact[] = ['key', 'model', 'counts', 'finish', 'text']
  const tokens: readonly ReceiptFact[] = receipt.tokenDigest === undefined ? [] : ['tokens']
  return { outcome: 'valid', receipt, checked: [...checked, ...facts, ...tokens] }
}

function mismatchOf(receipt: Receipt, expected: ReceiptExpectation): ReceiptFault | undefined {
  const { completion } = expected
  const { choices, usage } = completion
  if (receipt.lookupKey !== expected.lookupKey) return 'key-differs'
  const isModel = [expected.modelId, completion.modelId].every(id => id === receipt.modelId)
  if (!isModel) return 'model-differs'
  if (receipt.tokenDigest === undefined && !expected.acceptUpstream) return 'upstream-not-accepted'
  const { promptTokens, completionTokens, reasoningTokens } = receipt.counts
  const isCounted =
    promptTokens === usage.promptTokens &&
    completionTokens === usage.completionTokens &&
    reasoningTokens === usage.reasoningTokens
  if (!isCounted) return 'counts-differ'
  const { finishes } = receipt
  const isFinished = choices.every((choice, index) => choice.finish === finishes[index])
  if (!isFinished || finishes.length !== choices.length) return 'finish-differs'
  if (receipt.textDigest !== textDigest(choices)) return 'text-differs'
  return tokenMismatchOf(receipt, completion)
}

/** An answer whose receipt attests no tokens must not come with any, and the other way round. */
function tokenMismatchOf(receipt: Receipt, { choices }: Completion): ReceiptFault | undefined {
  const lists = tokenListsOf(choices)
  if (receipt.tokenDigest === undefined) {
    return choices.some(choice => choice.tokenIds !== undefined) ? 'tokens-differ' : undefined
  }
  if (lists === undefined || tokenDigest(lists) !== receipt.tokenDigest) return 'tokens-differ'
  return countOf(lists) === receipt.counts.completionTokens ? undefined : 'counts-differ'
}

function assertCounts(
  lists: readonly (readonly number[])[] | undefined,
  { completion, leaves, unauditedTokens = 0 }: ComputedAnswer,
): void {
  const { promptTokens, completionTokens } = completion.usage
  if (unauditedTokens < 0 || unauditedTokens > promptTokens) {
    throw new RangeError(`${unauditedTokens} unaudited tokens, of a prompt of ${promptTokens}`)
  }
  if (lists === undefined) return
  const tokens = countOf(lists)
  if (tokens !== completionTokens || (leaves ?? lists.flat()).length !== tokens) {
    throw new RangeError(`${tokens} token ids must be as many as the usage and the leaves say`)
  }
}

function countOf(lists: readonly (readonly number[])[]): number {
  return lists.reduce((sum, list) => sum + list.length, 0)
}

function decoded(bytes: Uint8Array): SignedReceipt | undefined {
  try {
    return decodeReceipt(bytes)
  } catch (error) {
    if (error instanceof OperationError) return undefined
    throw error
  }
}

function invalid(reason: ReceiptFault): ReceiptCheck {
  return { outcome: 'invalid', reason }
}
