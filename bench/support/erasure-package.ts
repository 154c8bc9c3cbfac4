import { readFileSync } from 'node:fs'
import { ReedSolomonErasure } from '@digitaldefiance/reed-solomon-erasure.wasm'
import type { IsalShape } from './isal.ts'

export const packageName = 'reed-solomon-erasure.wasm'

export interface PackageCode {
  encode(): void
  /** Of as many data shards as may be lost. */
  reconstruct(): void
}

/** The fastest package of its kind. It wants all shards in one array, which it works on in place. */
export function packageCode({ dataShards, parityShards, shardBytes }: IsalShape): PackageCode {
  // Its own loaders need `__dirname`, which modules do not have.
  const binary = import.meta.resolve('@digitaldefiance/reed-solomon-erasure.wasm/wasm')
  const code = ReedSolomonErasure.fromBytes(readFileSync(new URL(binary)))
  const shards = new Uint8Array((dataShards + parityShards) * shardBytes).fill(1)
  const lost = Math.min(dataShards, parityShards)
  const isThere = Array.from({ length: dataShards + parityShards }, (_, index) => index >= lost)
  const check = (result: number): void => {
    if (result === ReedSolomonErasure.RESULT_OK) return
    throw new Error(ReedSolomonErasure.getResultMessage(result))
  }
  return {
    encode: () => check(code.encode(shards, dataShards, parityShards)),
    reconstruct: () => check(code.reconstruct(shards, dataShards, parityShards, isThere)),
  }
}
