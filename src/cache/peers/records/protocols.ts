import type { ProtocolName } from '../../../interface/network.ts'

/** Requests and replies of wire/record-messages.ts. */
export const recordProtocol: ProtocolName = '/hyperspace/record/1'
/** Body: 32 bytes of look-up key. Messages: the sealed record in pieces. */
export const recordStreamProtocol: ProtocolName = '/hyperspace/record-stream/1'
/**
 * Body: 32 bytes of the flight's key. Messages: the sealed record in pieces, once the answer that
 * is being computed is complete and signed; none when nothing came of it. Tokens are not streamed
 * before: nobody could check them.
 */
export const flightProtocol: ProtocolName = '/hyperspace/flight/1'
