import { OperationError } from '../../errors.ts'

/** Where a member listens for direct connections, and what it knows ours by. */
export interface DirectOffer {
  readonly port: number
  /** 16 random bytes, for us only, while our session lasts. */
  readonly ticket: Uint8Array
}

export const ticketBytes = 16

/** A reply of `/hyperspace/direct/1` (spec/wire.md §9): u16 port ‖ ticket, or nothing. */
export function encodeDirectOffer(offer: DirectOffer | undefined): Uint8Array {
  if (offer === undefined) return new Uint8Array(0)
  const bytes = Buffer.alloc(2 + ticketBytes)
  bytes.writeUInt16LE(offer.port, 0)
  bytes.set(offer.ticket, 2)
  return bytes
}

/** @throws peer_message_invalid */
export function decodeDirectOffer(bytes: Uint8Array): DirectOffer | undefined {
  if (bytes.length === 0) return undefined
  const port = (bytes[0] ?? 0) + 256 * (bytes[1] ?? 0)
  if (bytes.length !== 2 + ticketBytes || port === 0) {
    throw new OperationError('peer_message_invalid', "Cannot read the peer's direct offer", {
      origin: 'peer',
    })
  }
  return { port, ticket: bytes.slice(2) }
}
