/** How an object is coded: any `dataShards` of all its shards give it back. */
export interface CodeShape {
  readonly dataShards: number
  readonly parityShards: number
}

/** All shards of an object by number, those that are missing undefined. */
export type ShardsWithGaps = readonly (Uint8Array | undefined)[]

/** Shards of one object: as many as the field has elements but zero. */
export const shardsMax = 255

/** @throws RangeError unless there is a data shard and there are at most 255 shards in all */
export function checkShape({ dataShards, parityShards }: CodeShape): void {
  const isWhole = Number.isInteger(dataShards) && Number.isInteger(parityShards)
  if (isWhole && dataShards >= 1 && parityShards >= 0 && dataShards + parityShards <= shardsMax) {
    return
  }
  throw new RangeError(
    `Cannot code ${dataShards} data and ${parityShards} parity shards: 1 to ${shardsMax} in all`,
  )
}

/** The numbers of the shards that are there. */
export function presentOf(shards: ShardsWithGaps): readonly number[] {
  return shards.flatMap((shard, index) => (shard === undefined ? [] : [index]))
}

/** The numbers of those that are not, also where an array was never written to. */
export function missingOf(shards: ShardsWithGaps): readonly number[] {
  return Array.from(shards.keys()).filter(index => shards[index] === undefined)
}

/** The length that all have; 0 of none. @throws RangeError when they differ */
export function commonBytes(shards: readonly Uint8Array[]): number {
  const bytes = shards[0]?.length ?? 0
  if (shards.every(shard => shard.length === bytes)) return bytes
  throw new RangeError('The shards of an object have one length')
}
