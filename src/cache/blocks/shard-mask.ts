/** Which shards of a stripe: bit i stands for shard i. Unsigned, of 32 bits. */
export type ShardMask = number

export const noShards: ShardMask = 0

export function maskOf(index: number): ShardMask {
  return (1 << index) >>> 0
}

/** The first `count` shards. */
export function firstShards(count: number): ShardMask {
  return count >= 32 ? 0xffff_ffff : maskOf(count) - 1
}

export function union(a: ShardMask, b: ShardMask): ShardMask {
  return (a | b) >>> 0
}

export function intersection(a: ShardMask, b: ShardMask): ShardMask {
  return (a & b) >>> 0
}

export function without(mask: ShardMask, others: ShardMask): ShardMask {
  return (mask & ~others) >>> 0
}

export function includes(mask: ShardMask, index: number): boolean {
  return intersection(mask, maskOf(index)) !== 0
}

export function countOf(mask: ShardMask): number {
  return indicesOf(mask).length
}

/** In ascending order. */
export function indicesOf(mask: ShardMask): readonly number[] {
  const indices: number[] = []
  for (let rest = mask; rest !== 0; ) {
    const index = 31 - Math.clz32(rest & -rest)
    indices.push(index)
    rest = without(rest, maskOf(index))
  }
  return indices
}
