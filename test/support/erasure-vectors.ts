import { readFileSync } from 'node:fs'

/** spec/vectors/erasure.json, made by spec/vectors/erasure-isal.c. */
export interface ErasureVectors {
  readonly codes: readonly CodeVector[]
  readonly objects: readonly ObjectVector[]
}

export interface CodeVector {
  readonly dataShards: number
  readonly parityShards: number
  readonly shardBytes: number
  /** Bytes in hex, here and below. */
  readonly generator: string
  readonly data: readonly string[]
  readonly parity: readonly string[]
  readonly lost: readonly number[]
  readonly sources: readonly number[]
  readonly rebuildMatrix: string
}

export interface ObjectVector {
  readonly objectBytes: number
  readonly seed: number
  readonly dataShards: number
  readonly parityShards: number
  readonly shardBytes: number
  readonly leafCount: number
  readonly firstLeafHashes: readonly string[]
  readonly roots: readonly string[]
}

export const vectors: ErasureVectors = JSON.parse(
  readFileSync(new URL('../../spec/vectors/erasure.json', import.meta.url), 'utf8'),
)

/** The bytes of a vector's object: a linear congruential generator's upper eight bits. */
export function objectOf({ seed, objectBytes }: ObjectVector): Uint8Array {
  let state = seed
  return Uint8Array.from({ length: objectBytes }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  })
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}
