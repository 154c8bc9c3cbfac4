import type { StreamHandler } from '../interface/network.ts'

/** The bytes in pieces of at most so many, without copying them. */
export function* cutPieces(bytes: Uint8Array, pieceBytesMax: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytesMax) {
    yield bytes.subarray(at, at + pieceBytesMax)
  }
}

/**
 * A handler of bytes as one of messages, whose size is limited. Copied: a stream is still sending
 * when the handler may write over what it has yielded.
 */
export function inPieces(handler: StreamHandler, pieceBytesMax: number): StreamHandler {
  return async function* (body, from, options) {
    for await (const bytes of handler(body, from, options)) {
      yield* cutPieces(new Uint8Array(bytes), pieceBytesMax)
    }
  }
}
