import { checkShape, commonBytes, type ShardsWithGaps } from './code-shape.ts'

/** Shards are a multiple of it: a cache line, and a whole number of any vectors. */
const alignmentBytes = 64

/** Bytes of each shard of an object that is cut into so many data shards. @throws RangeError */
export function shardBytesOf(objectBytes: number, dataShards: number): number {
  if (!Number.isSafeInteger(objectBytes) || objectBytes < 0) {
    throw new RangeError(`An object cannot have ${objectBytes} bytes`)
  }
  return Math.ceil(Math.ceil(objectBytes / dataShards) / alignmentBytes) * alignmentBytes
}

/**
 * The data shards of an object, one behind the other, filled up with zeros. Those that lie wholly
 * within the object are views of it; the last ones, as far as they are filled up, are copies, in
 * shared memory if the object is.
 */
export function splitObject(object: Uint8Array, dataShards: number): readonly Uint8Array[] {
  checkShape({ dataShards, parityShards: 0 })
  const shardBytes = shardBytesOf(object.length, dataShards)
  return Array.from({ length: dataShards }, (_, index) => {
    const part = object.subarray(index * shardBytes, (index + 1) * shardBytes)
    if (part.length === shardBytes) return part
    const shard = zerosLike(object, shardBytes)
    shard.set(part)
    return shard
  })
}

function zerosLike({ buffer }: Uint8Array, bytes: number): Uint8Array {
  if (buffer instanceof SharedArrayBuffer) return new Uint8Array(new SharedArrayBuffer(bytes))
  return new Uint8Array(bytes)
}

/** The object of its data shards. @throws RangeError when they are not those of such an object */
export function joinShards(shards: readonly Uint8Array[], objectBytes: number): Uint8Array {
  const dataShards = shards.length
  checkShape({ dataShards, parityShards: 0 })
  checkShards(shards, { dataShards, objectBytes })
  const object = new Uint8Array(objectBytes)
  let start = 0
  for (const shard of shards) {
    const part = shard.subarray(0, objectBytes - start)
    object.set(part, start)
    start += part.length
  }
  return object
}

export interface ObjectShape {
  readonly dataShards: number
  readonly objectBytes: number
}

/**
 * The length of the shards of such an object.
 * @throws RangeError when those that are there have another one
 */
export function checkShards(
  shards: ShardsWithGaps,
  { dataShards, objectBytes }: ObjectShape,
): number {
  const shardBytes = shardBytesOf(objectBytes, dataShards)
  const present = shards.flatMap(shard => shard ?? [])
  if (present.length === 0 || commonBytes(present) === shardBytes) return shardBytes
  throw new RangeError(`Shards of ${objectBytes} bytes cut in ${dataShards} have ${shardBytes}`)
}
