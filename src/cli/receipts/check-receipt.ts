import { completionOf } from '../../cache/record-of.ts'
import { OperationError } from '../../errors.ts'
import type { Completion } from '../../interface/generation.ts'
import { lookupKey } from '../../key/response-key.ts'
import { receiptClockSkewMs } from '../../limits.ts'
import { IssuerKeys } from '../../trust/issuer-keys.ts'
import { type LeavesFault, verifyLeaves } from '../../trust/leaves.ts'
import {
  openReceipt,
  type ReceiptCheck,
  type ReceiptFact,
  verifyReceipt,
} from '../../trust/receipt.ts'
import { decodeReceipt, type Receipt, type ReceiptFault } from '../../wire/receipt.ts'
import { decodeResponseRecord } from '../../wire/response-record.ts'
import { openRecord } from '../../wire/sealed-record.ts'
import type { ReceiptInput } from './receipt-input.ts'

/** What a receipt says, and what of it holds. */
export interface CheckedReceipt {
  readonly receipt: Receipt
  readonly bytes: Uint8Array
  readonly checked: readonly ReceiptFact[]
  /** The first check that failed; undefined when all passed. */
  readonly fault: ReceiptFault | LeavesFault | undefined
}

/**
 * Checks a receipt as far as what is at hand allows: against its answer, or by itself.
 * @throws receipt_invalid when it cannot be read, record_invalid, not_found
 */
export function checkReceipt(input: ReceiptInput, now: number): CheckedReceipt {
  const time = { now, clockSkewMs: receiptClockSkewMs }
  const keys = new IssuerKeys()
  if (input.type === 'receipt') {
    const { receipt } = decodeReceipt(input.bytes)
    return { receipt, bytes: input.bytes, ...outcomeOf(openReceipt(input.bytes, time, keys)) }
  }
  const { completion, bytes } = openAnswer(input)
  const { receipt } = decodeReceipt(bytes)
  const check = verifyReceipt(
    bytes,
    {
      ...time,
      lookupKey: lookupKey(input.key),
      // The response key is a hash over the model's id: the record of another does not open.
      modelId: completion.modelId,
      completion,
      acceptUpstream: true,
    },
    keys,
  )
  const found = { receipt, bytes, ...outcomeOf(check) }
  return found.fault === undefined ? withLeaves(found, input, completion) : found
}

type RecordInput = Extract<ReceiptInput, { type: 'record' }>

function openAnswer({ key, sealed }: RecordInput): {
  readonly completion: Completion
  readonly bytes: Uint8Array
} {
  const plain = decodeResponseRecord(openRecord(key, sealed))
  if (plain.receipt !== undefined) return { completion: completionOf(plain), bytes: plain.receipt }
  throw new OperationError(
    'not_found',
    'This answer has no receipt: it was made while the node was in no swarm, or for this node only',
    { origin: 'client' },
  )
}

/** The leaves are kept apart: where they are not, nothing is wrong. */
function withLeaves(
  found: CheckedReceipt,
  { key, sealedLeaves }: RecordInput,
  completion: Completion,
): CheckedReceipt {
  if (sealedLeaves === undefined || found.receipt.root === undefined) return found
  const check = verifyLeaves(openRecord(key, sealedLeaves), found.receipt, completion)
  if (check.outcome === 'invalid') return { ...found, fault: check.reason }
  return { ...found, checked: [...found.checked, 'leaves'] }
}

function outcomeOf(check: ReceiptCheck): Pick<CheckedReceipt, 'checked' | 'fault'> {
  if (check.outcome === 'invalid') return { checked: [], fault: check.reason }
  return { checked: check.checked, fault: undefined }
}
