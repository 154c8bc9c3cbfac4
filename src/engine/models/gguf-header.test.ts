import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { GiB, ggufWindowBytes } from '../../limits.ts'
import { type ByteSource, GgufFormatError } from './gguf-cursor.ts'
import { parseGgufHeader, readGgufHeader } from './gguf-header.ts'

const demoPath = fileURLToPath(new URL('../../../models/tiny-chat-q8_0.gguf', import.meta.url))
const { signal } = new AbortController()

/** Bytes in memory that fail the test when a single read asks for more than the window. */
function memorySource(bytes: Uint8Array, totalBytes = bytes.byteLength): ByteSource {
  return {
    totalBytes,
    async read(target, position) {
      assert.ok(target.byteLength <= ggufWindowBytes, 'a read asked for more than the window')
      const part = bytes.subarray(position, position + target.byteLength)
      target.set(part)
      return part.byteLength
    },
  }
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const text = (value: string): Buffer =>
  Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])
const textEntry = (key: string, value: string): Buffer =>
  Buffer.concat([text(key), u32(8), text(value)])
const numberEntry = (key: string, value: number): Buffer =>
  Buffer.concat([text(key), u32(4), u32(value)])

interface TensorClaim {
  readonly dimensions: readonly (number | bigint)[]
  readonly type?: number
  readonly offset?: number | bigint
}

interface Claims {
  readonly version?: number
  readonly entries?: readonly Buffer[]
  readonly entryCount?: number | bigint
  readonly tensors?: readonly TensorClaim[]
  readonly tensorCount?: number | bigint
}

/** A GGUF file with whatever claims a test wants, and room for a tensor of 32 F32 weights. */
function gguf(claims: Claims): Buffer {
  const entries = claims.entries ?? [textEntry('general.architecture', 'llama')]
  const tensors = claims.tensors ?? [{ dimensions: [32] }]
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(claims.version ?? 3),
    u64(claims.tensorCount ?? tensors.length),
    u64(claims.entryCount ?? entries.length),
    ...entries,
    ...tensors.map(tensor =>
      Buffer.concat([
        text('weights'),
        u32(tensor.dimensions.length),
        ...tensor.dimensions.map(u64),
        u32(tensor.type ?? 0),
        u64(tensor.offset ?? 0),
      ]),
    ),
    Buffer.alloc(32 + 128),
  ])
}

async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await parseGgufHeader(memorySource(bytes), { signal })
  } catch (error) {
    assert.ok(error instanceof GgufFormatError, `threw ${String(error)}`)
    return error.message
  }
  return 'accepted'
}

describe('readGgufHeader()', () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gguf-header-'))
  })
  after(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  async function refusalOf(path: string): Promise<string> {
    try {
      await readGgufHeader(path, { signal })
    } catch (error) {
      assert.ok(error instanceof OperationError, `threw ${String(error)}`)
      assert.equal(error.code, 'model_file_invalid')
      assert.ok(error.message.startsWith(path), error.message)
      assert.ok(!error.message.includes('\n'), 'one line')
      return error.message.slice(path.length + 1)
    }
    return 'accepted'
  }

  it('reads the bundled demo model', async () => {
    const header = await readGgufHeader(demoPath, { signal })
    assert.deepEqual(header, {
      version: 3,
      architecture: 'llama',
      name: 'Hyperspace Tiny Chat',
      contextTokens: 4096,
      quantization: 'Q8_0',
      parameterCount: 1_967_808,
      hasChatTemplate: true,
      pooling: undefined,
      tensorCount: 38,
      fileBytes: 2_161_120,
      neededBytes: 2_161_120,
    })
  })

  it('tells a truncated file by its missing tensors, down to the last byte', async () => {
    const whole = await readFile(demoPath)
    for (const bytes of [2_161_119, 1_000_000]) {
      const path = join(folder, `cut-${bytes}.gguf`)
      await writeFile(path, whole.subarray(0, bytes))
      assert.match(await refusalOf(path), new RegExp(`^is truncated: ${bytes} of 2161120 bytes`))
    }
    const path = join(folder, 'cut-in-header.gguf')
    await writeFile(path, whole.subarray(0, 20_000))
    assert.match(await refusalOf(path), /^ends inside its header/)
  })

  it('says what a foreign file is', async () => {
    const safetensors = Buffer.concat([u64(17), Buffer.from('{"a":{"dtype":1}}'), Buffer.alloc(99)])
    const cases: readonly (readonly [Buffer, RegExp])[] = [
      [Buffer.from(''), /^is empty/],
      [safetensors, /^is a safetensors file/],
      [Buffer.from('PK\x03\x04rest of a zip'), /^is a zip archive/],
      [Buffer.from('\n<!DOCTYPE html><title>Log in</title>'), /^is a web page/],
      [Buffer.from('{"error":"Repository not found"}'), /^is JSON text/],
      [
        Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\n'),
        /Git LFS pointer/,
      ],
      [Buffer.from('tjgg\x03\x00\x00\x00'), /older than GGUF/],
      [Buffer.from([0x1f, 0x8b, 8, 0]), /^is a compressed archive/],
      [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), /^is a compressed archive/],
      [Buffer.from([0x80, 0x02, 0x8a]), /^is a Python pickle/],
      [Buffer.alloc(4096), /^starts with zeros/],
      [Buffer.from('hello'), /^is not a GGUF file/],
      [Buffer.from('GG'), /^is not a GGUF file/],
      [Buffer.from('GGUF'), /^ends inside its header/],
    ]
    for (const [index, [bytes, expected]] of cases.entries()) {
      const path = join(folder, `foreign-${index}.gguf`)
      await writeFile(path, bytes)
      assert.match(await refusalOf(path), expected)
    }
  })

  it('says what is no file at all', async () => {
    assert.match(await refusalOf(join(folder, 'absent.gguf')), /^does not exist/)
    await mkdir(join(folder, 'folder.gguf'))
    assert.match(await refusalOf(join(folder, 'folder.gguf')), /^is a folder/)
    const pipe = join(folder, 'pipe.gguf')
    await promisify(execFile)('mkfifo', [pipe])
    assert.match(await refusalOf(pipe), /^is not a regular file/)
  })

  it('rejects with the reason of the signal, not with model_file_invalid', async () => {
    await assert.rejects(readGgufHeader(demoPath, { signal: AbortSignal.abort() }), {
      name: 'AbortError',
    })
  })

  it('reads through a sparse file that is huge without reading it', async () => {
    const path = join(folder, 'sparse.gguf')
    const handle = await open(path, 'w')
    const elements = 16 * GiB
    await handle.write(gguf({ tensors: [{ dimensions: [elements / 32, 32], type: 8 }] }))
    await handle.truncate((elements / 32) * 34 + 4096)
    await handle.close()
    const header = await readGgufHeader(path, { signal })
    assert.equal(header.parameterCount, elements)
  })
})

describe('parseGgufHeader()', () => {
  it('accepts version 2 and metadata in any order', async () => {
    const entries = [
      numberEntry('bert.pooling_type', 2),
      numberEntry('bert.context_length', 512),
      textEntry('general.architecture', 'bert'),
      numberEntry('general.file_type', 15),
    ]
    const header = await parseGgufHeader(memorySource(gguf({ version: 2, entries })), { signal })
    assert.equal(header.version, 2)
    assert.equal(header.pooling, 'cls')
    assert.equal(header.contextTokens, 512)
    assert.equal(header.quantization, 'Q4_K_M')
    assert.equal(header.hasChatTemplate, false)
  })

  it('names the commonest type of the weights when the file type is not told', async () => {
    const tensors = [{ dimensions: [32] }, { dimensions: [64], type: 8 }]
    const header = await parseGgufHeader(memorySource(gguf({ tensors })), { signal })
    assert.equal(header.quantization, 'Q8_0')
  })

  it('refuses absurd claims', async () => {
    const architecture = textEntry('general.architecture', 'llama')
    const hugeArray = Buffer.concat([text('a'), u32(9), u32(4), u64(2n ** 60n)])
    const longString = Buffer.concat([text('a'), u32(8), u64(2n ** 40n)])
    const manyStrings = Buffer.concat([text('a'), u32(9), u32(8), u64(2n ** 50n)])
    const cases: readonly (readonly [Claims, RegExp])[] = [
      [{ version: 1 }, /version 1, too old/],
      [{ version: 0x0300_0000 }, /big-endian/],
      [{ version: 9 }, /version 9; versions 2 and 3/],
      [{ tensorCount: 2n ** 40n }, /claims 1099511627776 tensors/],
      [{ entryCount: 2n ** 63n }, /a length is absurd/],
      [{ tensors: [] }, /holds no weights/],
      [{ entries: [] }, /does not tell its architecture/],
      [{ entries: [architecture, hugeArray] }, /a length is absurd|ends inside/],
      [{ entries: [architecture, longString] }, /ends inside its header/],
      [{ entries: [architecture, manyStrings] }, /ends inside its header/],
      [{ entries: [architecture, Buffer.concat([text('a'), u32(13)])] }, /a value of type 13/],
      [
        { entries: [architecture, Buffer.concat([text('a'), u32(9), u32(9), u64(1)])] },
        /array of type 9/,
      ],
      [{ entries: [architecture, numberEntry('general.alignment', 48)] }, /alignment of 48/],
      [{ entries: [architecture, numberEntry('general.alignment', 0)] }, /alignment of 0/],
      [{ entries: [architecture, numberEntry('split.count', 3)] }, /one of 3 parts/],
      [{ entries: [architecture, textEntry('general.type', 'adapter')] }, /of type 'adapter'/],
      [{ entries: [textEntry('general.architecture', 'clip')] }, /vision projector/],
      [{ tensors: [{ dimensions: [1, 1, 1, 1, 1] }] }, /5 dimensions/],
      [{ tensors: [{ dimensions: [2 ** 30, 2 ** 30] }] }, /absurdly big/],
      [{ tensors: [{ dimensions: [32], type: 4 }] }, /weights of type 4/],
      [{ tensors: [{ dimensions: [33], type: 8 }] }, /do not fill blocks of Q8_0/],
      [{ tensors: [{ dimensions: [32], offset: 7 }] }, /not where it can be/],
      [{ tensors: [{ dimensions: [32], offset: 4096 }] }, /is truncated/],
    ]
    for (const [claims, expected] of cases) {
      assert.match(await refusal(gguf(claims)), expected)
    }
    assert.equal(await refusal(gguf({})), 'accepted')
  })

  it('gives up on a header that goes on past its limit', async () => {
    // A sparse terabyte of empty strings: only the limit ends the walk.
    const endless = Buffer.concat([text('a'), u32(9), u32(0), u64(2n ** 39n)])
    const head = gguf({ entries: [endless] })
    const source = memorySource(head, 2 ** 40)
    await assert.rejects(parseGgufHeader(source, { signal }), /header is absurdly long/)
  })

  it('throws nothing but GgufFormatError on random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (bytes, isGguf) => {
        const magic = isGguf ? Buffer.from('GGUF\x03\0\0\0') : Buffer.alloc(0)
        assert.notEqual(await refusal(Buffer.concat([magic, bytes])), 'accepted')
      }),
    )
  })

  it('throws nothing but GgufFormatError on mutated real headers', async () => {
    const real = await readFile(demoPath)
    const mutation = fc.record({
      // Mostly in front, where lengths and types are; the vocabulary ends near 60,000.
      position: fc.oneof(fc.nat(1_200), fc.nat(60_000)),
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.constant(new Uint8Array(8).fill(0xff)),
      ),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(real.byteLength)),
        async (mutations, cut) => {
          const bytes = Buffer.from(real.subarray(0, cut ?? real.byteLength))
          for (const { position, bytes: written } of mutations) {
            if (position + written.length <= bytes.length) bytes.set(written, position)
          }
          await refusal(bytes)
        },
      ),
      { numRuns: 150 },
    )
  })
})
