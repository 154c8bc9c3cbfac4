import { OperationError } from '../../errors.ts'
import { systemClock } from '../../std/clock.ts'
import { describeReceipt, faultTexts } from '../../trust/describe-receipt.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { type CheckedReceipt, checkReceipt } from './check-receipt.ts'
import { type ReceiptInput, readReceiptInput } from './receipt-input.ts'

/** Says what it finds, right or wrong. */
export async function showReceipt(context: CommandContext): Promise<ExitCode> {
  const { found, input } = await read(context)
  if (isSwitchedOn(context, 'json')) writeJson(context, jsonOf(found))
  else {
    context.terminal.write(wordsOf(found, input))
    if (found.fault !== undefined) {
      context.terminal.writeError(`This receipt is NOT VALID: ${faultTexts[found.fault]}\n`)
    }
  }
  return exitCodes.ok
}

/** @throws receipt_invalid with the reason, which makes exit code 5 */
export async function verifyReceiptOf(context: CommandContext): Promise<ExitCode> {
  const { found, input } = await read(context)
  if (isSwitchedOn(context, 'json')) {
    writeJson(context, jsonOf(found))
    return found.fault === undefined ? exitCodes.ok : exitCodes.verification
  }
  if (found.fault !== undefined) {
    const message = `This receipt is not valid: ${faultTexts[found.fault]}`
    throw new OperationError('receipt_invalid', message, { origin: 'client' })
  }
  context.terminal.write(
    `${wordsOf(found, input)}Valid: all that could be checked here is right.\n`,
  )
  return exitCodes.ok
}

async function read(
  context: CommandContext,
): Promise<{ readonly found: CheckedReceipt; readonly input: ReceiptInput }> {
  const input = await readReceiptInput(context)
  return { input, found: checkReceipt(input, systemClock.now()) }
}

function wordsOf({ receipt, checked }: CheckedReceipt, input: ReceiptInput): string {
  const lines = describeReceipt(receipt, checked)
  const note =
    input.type === 'receipt'
      ? ['Without the answer only form, signature and dates can be checked.']
      : []
  return [...lines, ...note, ''].join('\n')
}

function jsonOf({ receipt, bytes, checked, fault }: CheckedReceipt): unknown {
  const { seed, issuedAt, expiresAt, tokenDigest, root, ...statement } = receipt
  return {
    outcome: fault === undefined ? 'valid' : 'invalid',
    ...(fault === undefined ? {} : { reason: fault, message: faultTexts[fault] }),
    checked,
    statement: {
      ...statement,
      tokenDigest: tokenDigest ?? null,
      root: root ?? null,
      // A number of 64 bits, which JSON readers would round.
      seed: seed?.toString() ?? null,
      issuedAt: new Date(issuedAt).toISOString(),
      expiresAt: new Date(expiresAt).toISOString(),
    },
    receipt: Buffer.from(bytes).toString('base64url'),
  }
}
