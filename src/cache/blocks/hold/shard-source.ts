import { shardPieceBytes } from '../../../limits.ts'

/** A shard on its way to a peer. */
export interface ShardSource {
  /** Of the hashes of its leaves and the shard together. */
  readonly bytes: number
  readonly pieces: AsyncIterable<Uint8Array>
  /** To be called when nobody looks at the pieces any more. */
  readonly release?: () => void
}

/** A shard, in one part or in several, behind the hashes of its leaves. */
export function sourceOf(...parts: readonly Uint8Array[]): ShardSource {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  return { bytes, pieces: piecesOf(parts) }
}

async function* piecesOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  for (const part of parts) {
    for (let start = 0; start < part.length; start += shardPieceBytes) {
      yield part.subarray(start, start + shardPieceBytes)
    }
  }
}
