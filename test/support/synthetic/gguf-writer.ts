import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/** Value types of GGUF metadata that are written here, and sizes of those that are only copied. */
const uint32 = 4
const float32 = 6
const string = 8
const array = 9
const fixedBytes: { readonly [type: number]: number } = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
}
const alignment = 32

/** A metadata value as it stands in a file, without its type. */
export interface RawValue {
  readonly type: number
  readonly raw: Uint8Array
}

export type TensorType = 'f32' | 'f16' | 'q8_0'
const tensorTypeIds: { readonly [type in TensorType]: number } = { f32: 0, f16: 1, q8_0: 8 }

export interface Tensor {
  readonly name: string
  /** Innermost dimension first. */
  readonly dimensions: readonly number[]
  readonly type: TensorType
  /** Writes the whole tensor. */
  readonly fill: (bytes: Buffer) => void
}

export function uint32Value(value: number): RawValue {
  const raw = Buffer.alloc(4)
  raw.writeUInt32LE(value)
  return { type: uint32, raw }
}

export function float32Value(value: number): RawValue {
  const raw = Buffer.alloc(4)
  raw.writeFloatLE(value)
  return { type: float32, raw }
}

export function stringValue(value: string): RawValue {
  return { type: string, raw: text(value) }
}

/** The metadata of a GGUF file (v3, our own test files only), each value as it stands. */
export function readMetadata(path: string): ReadonlyMap<string, RawValue> {
  const bytes = readFileSync(path)
  if (bytes.toString('latin1', 0, 4) !== 'GGUF') throw new TypeError(`${path} is no GGUF file`)
  let at = 16
  const count = (): number => {
    at += 8
    return Number(bytes.readBigUInt64LE(at - 8))
  }
  const name = (): string => {
    const length = count()
    at += length
    return bytes.toString('utf8', at - length, at)
  }
  const skip = (type: number): void => {
    if (type === string) name()
    else if (type !== array) at += fixedBytes[type] ?? Number.NaN
    else {
      const itemType = bytes.readUInt32LE(at)
      at += 4
      for (let items = count(); items > 0; items--) skip(itemType)
    }
  }
  return new Map(
    Array.from({ length: count() }, () => {
      const key = name()
      const type = bytes.readUInt32LE(at)
      at += 4
      const start = at
      skip(type)
      return [key, { type, raw: bytes.subarray(start, at) }]
    }),
  )
}

export function tensorBytes({ type, dimensions }: Tensor): number {
  const count = dimensions.reduce((product, size) => product * size, 1)
  // Q8_0: blocks of 32 numbers, one half-precision scale each.
  return type === 'q8_0' ? (count / 32) * 34 : count * (type === 'f32' ? 4 : 2)
}

/** Writes a GGUF v3 file, one tensor in memory at a time. */
export function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, RawValue>,
  tensors: readonly Tensor[],
): void {
  const head: Uint8Array[] = [
    Buffer.from('GGUF'),
    uint32Value(3).raw,
    uint64(tensors.length),
    uint64(metadata.size),
  ]
  for (const [key, { type, raw }] of metadata) head.push(text(key), uint32Value(type).raw, raw)
  let offset = 0
  for (const tensor of tensors) {
    const { name, dimensions, type } = tensor
    head.push(text(name), uint32Value(dimensions.length).raw, ...dimensions.map(uint64))
    head.push(uint32Value(tensorTypeIds[type]).raw, uint64(offset))
    offset += aligned(tensorBytes(tensor))
  }
  const headBytes = Buffer.concat(head)
  const file = openSync(path, 'w')
  try {
    writeWhole(file, Buffer.concat([headBytes], aligned(headBytes.length)))
    for (const tensor of tensors) {
      const size = tensorBytes(tensor)
      const bytes = Buffer.alloc(aligned(size))
      tensor.fill(bytes.subarray(0, size))
      writeWhole(file, bytes)
    }
  } finally {
    closeSync(file)
  }
}

function writeWhole(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
}

function aligned(length: number): number {
  return Math.ceil(length / alignment) * alignment
}

function uint64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value, 'utf8')
  return Buffer.concat([uint64(bytes.length), bytes])
}
