import { OperationError } from '../errors.ts'

/**
 * Refuses CBOR of more than `itemsMax` items (RFC 8949 §3: every head counts, those of containers
 * too) before it is decoded: a megabyte of empty maps is a megabyte of bytes, but a hundred of
 * objects. One pass over the heads; nothing is allocated.
 *
 * @throws record_invalid for too many items, and for heads that no deterministic encoder writes
 */
export function assertItemsWithin(bytes: Uint8Array, itemsMax: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let items = 0
  for (let offset = 0; offset < bytes.length; items++) {
    if (items === itemsMax) throw invalid('it holds too many items')
    const head = view.getUint8(offset)
    const kind = head >> 5
    const { value, end } = argumentOf(view, head & 31, offset + 1)
    // Byte and text strings carry their content behind the head; all else carries heads.
    offset = kind === 2 || kind === 3 ? end + value : end
  }
}

function argumentOf(view: DataView, short: number, offset: number): { value: number; end: number } {
  if (short < 24) return { value: short, end: offset }
  const bytes = 2 ** (short - 24)
  if (short > 27 || offset + bytes > view.byteLength) throw invalid('it is cut')
  if (bytes === 1) return { value: view.getUint8(offset), end: offset + 1 }
  if (bytes === 2) return { value: view.getUint16(offset), end: offset + 2 }
  if (bytes === 4) return { value: view.getUint32(offset), end: offset + 4 }
  return { value: Number(view.getBigUint64(offset)), end: offset + 8 }
}

function invalid(why: string): OperationError {
  return new OperationError('record_invalid', `Cannot read the record: ${why}`, { origin: 'store' })
}
