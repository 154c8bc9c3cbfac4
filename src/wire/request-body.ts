import { OperationError } from '../errors.ts'

/** Longest name of a protocol. Ours have about 30 bytes. */
export const protocolBytesMax = 128

/** A request's or an opening's body: u8 length of the name ‖ name ‖ what the protocol carries. */
export function encodeRequestBody(protocol: string, body: Uint8Array): Uint8Array {
  const name = Buffer.from(protocol)
  if (name.length > protocolBytesMax) throw new RangeError(`The name ${protocol} is too long`)
  return Buffer.concat([Uint8Array.of(name.length), name, body])
}

/** @throws peer_message_invalid */
export function decodeRequestBody(bytes: Uint8Array): { protocol: string; body: Uint8Array } {
  const length = bytes[0]
  if (length === undefined || length > protocolBytesMax || bytes.length < 1 + length) {
    throw new OperationError('peer_message_invalid', "Cannot read the peer's request: no name", {
      origin: 'peer',
    })
  }
  const protocol = Buffer.from(bytes.subarray(1, 1 + length)).toString('latin1')
  return { protocol, body: bytes.subarray(1 + length) }
}
