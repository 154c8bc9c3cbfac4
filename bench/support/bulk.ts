import { KiB, MiB } from '../../src/limits.ts'

/** What the bulk bench and its sender agree on. */
export const senderName = 'bulk-sender'
/** Asks for `bulkBytes` in messages of `bulkMessageBytes`. */
export const bulkProtocol = '/hyperspace/bench-bulk/1'
/** Asks for the port of the plain TLS server, as decimal text. It sends the same for every byte. */
export const tlsPortProtocol = '/hyperspace/bench-tls-port/1'
export const bulkBytes: number = 64 * MiB
export const bulkMessageBytes: number = 256 * KiB
