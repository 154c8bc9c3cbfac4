import { codingCopyBytes } from '../../limits.ts'
import { afterThisTurn } from '../../std/turn.ts'
import { bufferOver } from '../buffer-over.ts'

/** Zeros that threads can see. The system makes room for them when they are first written. */
export function newShared(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes))
}

export function newSharedShards(count: number, bytes: number): readonly Uint8Array[] {
  return Array.from({ length: count }, () => newShared(bytes))
}

/** Bytes to put at the beginning of others. */
export interface Copy {
  readonly source: Uint8Array
  readonly target: Uint8Array
}

/**
 * Copies in pieces, with a turn of the event loop between them: what is written for the first time
 * costs 0.4 ms per MiB, most of it the system's making room.
 */
export async function copyInTurns(copies: readonly Copy[], signal: AbortSignal): Promise<void> {
  let left = codingCopyBytes
  for (const { source, target } of copies) {
    const from = bufferOver(source)
    const to = bufferOver(target)
    for (let start = 0; start < from.length; ) {
      const piece = Math.min(left, from.length - start)
      from.copy(to, start, start, start + piece)
      start += piece
      left -= piece
      if (left > 0) continue
      await new Promise<void>(resolve => afterThisTurn(resolve))
      signal.throwIfAborted()
      left = codingCopyBytes
    }
  }
}

/** The same bytes where threads see them: themselves if they do already, else copies. */
export async function toShared(
  arrays: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const shared = arrays.map(source => ({
    source,
    target: source.buffer instanceof SharedArrayBuffer ? source : newShared(source.length),
  }))
  await copyInTurns(
    shared.filter(({ source, target }) => source !== target),
    signal,
  )
  return shared.map(({ target }) => target)
}
