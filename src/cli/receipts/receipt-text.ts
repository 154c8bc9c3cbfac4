import { parseObject } from '../../client/admin-client.ts'

/** Raw bytes as they are; base64url text (as in the header x-hyperspace-receipt) decoded. */
export function receiptInText(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1').replaceAll(/\s/g, '')
  return /^[\w-]+=*$/.test(text) ? Buffer.from(text, 'base64url') : bytes
}

/** The receipt in what `receipt show --json` printed; undefined where there is none. */
export function receiptInJson(text: string): Uint8Array | undefined {
  const receipt = parseObject(text)?.['receipt']
  return typeof receipt === 'string' ? Buffer.from(receipt, 'base64url') : undefined
}
