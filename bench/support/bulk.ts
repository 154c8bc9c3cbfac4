import { KiB, MiB } from '../../src/limits.ts'

/** What the bulk bench and its sender agree on. */
export const senderName = 'bulk-sender'
/** Asks for `bulkBytes` in messages of `bulkMessageBytes`, as bytes and as a stream. */
export const bulkProtocol = '/hyperspace/bench-bulk/1'
export const bulkStreamProtocol = '/hyperspace/bench-bulk-stream/1'
/** Asks for the port of the plain TLS server, as decimal text. It sends the same for every byte. */
export const tlsPortProtocol = '/hyperspace/bench-tls-port/1'
export const bulkBytes: number = 64 * MiB
export const bulkMessageBytes: number = 256 * KiB
