import { bufferOver } from '../../erasure/buffer-over.ts'
import { newShared } from '../../erasure/coder/shared-memory.ts'
import { createLeafVerifier, type LeafVerifier } from '../../erasure/leaf-verifier.ts'
import { leafCountOf, leafHashBytes } from '../../erasure/leaves.ts'
import { OperationError } from '../../errors.ts'
import { shardBytesPerSecondMin, shardStallMs } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import { type Manifest, rootOf, shardBytesIn } from '../../wire/manifest.ts'

/** A shard that a peer sent, checked against its manifest. */
export interface TakenShard {
  /** The hashes of its leaves, one behind the other. */
  readonly leafHashes: Uint8Array
  /** In memory that threads can see: whoever decodes or opens it need not copy it first. */
  readonly bytes: Uint8Array
}

export interface TakeShardOptions {
  readonly clock: Clock
  /** Memory of so many bytes that threads can see. @default new memory */
  readonly memoryFor?: (bytes: number) => Uint8Array
  readonly signal: AbortSignal
}

/** Networks cut as they like, but not finer than this on the whole. */
const pieceBytesMin = 512
const piecesMin = 64

/**
 * Takes one shard as it streams in: first the hashes of its leaves, which must lead to its root,
 * then its bytes, each leaf checked as soon as it is whole. Room is made when the hashes were
 * right. Undefined when the sender has it not, or stops before the end.
 * @throws block_invalid for bytes that are not those of the manifest; peer_message_invalid for too
 *   many; TimeoutError when it stalls; what the stream throws
 */
export async function takeShard(
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  { manifest, index }: { readonly manifest: Manifest; readonly index: number },
  { clock, memoryFor = newShared, signal }: TakeShardOptions,
): Promise<TakenShard | undefined> {
  const inbox = new ShardInbox(manifest, index, memoryFor)
  const stalled = new AbortController()
  const stall = (): void => stalled.abort(new DOMException('The peer stalls', 'TimeoutError'))
  const longestMs = shardStallMs + (inbox.bytesLeft / shardBytesPerSecondMin) * 1_000
  const linked = linkSignal(clock, [signal, stalled.signal], longestMs)
  let cancelStall = clock.after(shardStallMs, stall)
  try {
    for await (const piece of open(linked.signal)) {
      cancelStall()
      inbox.take(piece)
      cancelStall = clock.after(shardStallMs, stall)
    }
    return inbox.shard()
  } finally {
    cancelStall()
    linked[Symbol.dispose]()
  }
}

interface ShardBody {
  readonly bytes: Uint8Array
  /** The same memory. */
  readonly target: Buffer
  readonly verifier: LeafVerifier
}

/** What has come of one shard. */
class ShardInbox {
  readonly #manifest: Manifest
  readonly #index: number
  readonly #memoryFor: (bytes: number) => Uint8Array
  readonly #leafHashes: Uint8Array
  #hashesTaken = 0
  #body: ShardBody | undefined
  #bytesTaken = 0
  #piecesLeft: number

  constructor(manifest: Manifest, index: number, memoryFor: (bytes: number) => Uint8Array) {
    const shardBytes = shardBytesIn(manifest)
    this.#manifest = manifest
    this.#index = index
    this.#memoryFor = memoryFor
    this.#leafHashes = new Uint8Array(leafCountOf(shardBytes) * leafHashBytes)
    this.#piecesLeft = piecesMin + Math.ceil(shardBytes / pieceBytesMin)
  }

  get bytesLeft(): number {
    const hashesLeft = this.#leafHashes.length - this.#hashesTaken
    return hashesLeft + shardBytesIn(this.#manifest) - this.#bytesTaken
  }

  take(piece: Uint8Array): void {
    this.#piecesLeft -= 1
    if (piece.length > this.bytesLeft || this.#piecesLeft < 0) throw tooMuch()
    const hashes = piece.subarray(0, this.#leafHashes.length - this.#hashesTaken)
    this.#leafHashes.set(hashes, this.#hashesTaken)
    this.#hashesTaken += hashes.length
    const rest = piece.subarray(hashes.length)
    if (rest.length === 0) return
    this.#body ??= this.#begin()
    bufferOver(rest).copy(this.#body.target, this.#bytesTaken)
    this.#bytesTaken += rest.length
    if (this.#body.verifier.take(rest) !== undefined) throw wrong()
  }

  shard(): TakenShard | undefined {
    if (this.#body === undefined || this.bytesLeft > 0) return undefined
    return { leafHashes: this.#leafHashes, bytes: this.#body.bytes }
  }

  #begin(): ShardBody {
    const shardBytes = shardBytesIn(this.#manifest)
    const leafHashes: Uint8Array[] = []
    for (let start = 0; start < this.#leafHashes.length; start += leafHashBytes) {
      leafHashes.push(this.#leafHashes.subarray(start, start + leafHashBytes))
    }
    const root = rootOf(this.#manifest, this.#index)
    const verifier = createLeafVerifier({ shardBytes, root, leafHashes })
    if (verifier === undefined) throw wrong()
    const bytes = this.#memoryFor(shardBytes)
    return { bytes, target: bufferOver(bytes), verifier }
  }
}

function tooMuch(): OperationError {
  const message = 'The peer sent more than the shard has'
  return new OperationError('peer_message_invalid', message, { origin: 'peer' })
}

function wrong(): OperationError {
  const message = 'The peer sent other bytes than the manifest says'
  return new OperationError('block_invalid', message, { origin: 'peer' })
}
