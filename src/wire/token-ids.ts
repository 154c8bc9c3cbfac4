/** Token ids as bytes: u32-LE each (spec/receipts.md §3). */
export function packTokenIds(tokenIds: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(tokenIds.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [index, tokenId] of tokenIds.entries()) view.setUint32(index * 4, tokenId, true)
  return bytes
}

/** Undefined when the last one is cut. */
export function unpackTokenIds(bytes: Uint8Array): readonly number[] | undefined {
  if (bytes.length % 4 !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4, true))
}
