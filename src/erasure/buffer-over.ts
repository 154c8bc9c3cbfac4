/**
 * The same bytes as a `Buffer`: `Buffer.copy` copies shared memory as fast as any other, which
 * `TypedArray.set` takes three times as long for (measured with Node 24).
 */
export function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
