import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hashShard } from '../../erasure/leaves.ts'
import { OperationError } from '../../errors.ts'
import { modelIdFromDigest } from '../../key/model-id.ts'
import { peerIdOfPublicKey } from '../../key/peer-id.ts'
import { parseLookupKey } from '../../key/response-key.ts'
import {
  directRoomBytes,
  KiB,
  shardBytesPerSecondMin,
  shardStallMs,
  streamedPieceBytes,
} from '../../limits.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import type { Manifest } from '../../wire/manifest.ts'
import { type TakenShard, takeShard } from './take-shard.ts'

const shard = new Uint8Array(150 * KiB).map((_, at) => at % 251)
const { leafHashes, root } = hashShard(shard)
const sent = Buffer.concat([...leafHashes, shard])
const manifest: Manifest = {
  lookupKey: parseLookupKey('ab'.repeat(32)) ?? assert.fail(),
  modelId: modelIdFromDigest('cd'.repeat(32)),
  numericClass: 'a class',
  objectBytes: shard.length,
  dataShards: 1,
  shards: 1,
  roots: root,
  issuer: peerIdOfPublicKey(new Uint8Array(32).fill(5)),
  issuedAt: 0,
  expiresAt: 1,
}
const { signal } = new AbortController()
const clock = new SimulatedClock()

function take(pieces: Iterable<Uint8Array>): Promise<TakenShard | undefined> {
  const open = async function* (): AsyncGenerator<Uint8Array> {
    yield* pieces
  }
  return takeShard(open, { manifest, index: 0 }, { clock, signal })
}

/** Cut at the places given. */
function cut(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const ends = [...places.map(place => place % (bytes.length + 1)), bytes.length]
  const sorted = ends.toSorted((a, b) => a - b)
  return sorted.map((end, at) => bytes.subarray(sorted[at - 1] ?? 0, end))
}

describe('takeShard()', () => {
  it('gives the shard and the hashes of its leaves, however it was cut', async () => {
    const places = fc.array(fc.nat(), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(places, async given => {
        const taken = await take(cut(sent, given))
        assert.ok(taken !== undefined)
        assert.equal(Buffer.compare(taken.bytes, shard), 0)
        assert.equal(Buffer.compare(taken.leafHashes, Buffer.concat(leafHashes)), 0)
      }),
      { numRuns: 50 },
    )
  })

  it('gives nothing of a stream that is empty or cut short', async () => {
    assert.equal(await take([]), undefined)
    assert.equal(await take([sent.subarray(0, 10)]), undefined)
    assert.equal(await take([sent.subarray(0, 96)]), undefined)
    assert.equal(await take([sent.subarray(0, -1)]), undefined)
  })

  it('refuses one altered bit wherever it is, before the next leaf is taken', async () => {
    const change = fc.record({ at: fc.nat(sent.length - 1), bit: fc.nat(7) })
    await fc.assert(
      fc.asyncProperty(change, async ({ at, bit }) => {
        const bytes = Buffer.from(sent)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
        let given = 0
        const pieces = function* (): Generator<Uint8Array> {
          for (let start = 0; start < bytes.length; start += 4 * KiB) {
            given = start
            yield bytes.subarray(start, start + 4 * KiB)
          }
        }
        await assert.rejects(take(pieces()), { code: 'block_invalid' })
        assert.ok(given <= at + 68 * KiB)
      }),
      { numRuns: 100 },
    )
  })

  it('refuses more bytes than the shard has, and pieces without end', async () => {
    await assert.rejects(take([sent, Uint8Array.of(1)]), { code: 'peer_message_invalid' })
    await assert.rejects(take([new Uint8Array(sent.length + 1)]), { code: 'peer_message_invalid' })
    const empty = function* (): Generator<Uint8Array> {
      for (;;) yield new Uint8Array()
    }
    await assert.rejects(take(empty()), { code: 'peer_message_invalid' })
  })

  it('throws nothing else, whatever comes', async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(pieces, async given => {
        try {
          assert.equal(await take(given), undefined)
        } catch (error) {
          assert.ok(error instanceof OperationError && error.code === 'block_invalid')
        }
      }),
    )
  })

  it('hears of who sends as slowly as one may before it takes that for a stall', () => {
    for (const pieceBytes of [directRoomBytes, streamedPieceBytes]) {
      assert.ok(pieceBytes / shardBytesPerSecondMin < shardStallMs / 1_000)
    }
  })

  it('gives up on who stalls, and on who sends too slowly', async () => {
    const open = async function* (ended: AbortSignal): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < sent.length; at += 1_024) {
        yield sent.subarray(at, at + 1_024)
        await new Promise<void>((resolve, reject) => {
          clock.after(at === 0 && isStalling ? 3_600_000 : shardStallMs - 1, resolve)
          ended.addEventListener('abort', () => reject(ended.reason), { once: true })
        })
      }
    }
    let isStalling = true
    const options = { clock, signal }
    const startMs = clock.monotonicMs()
    await assert.rejects(clock.settle(takeShard(open, { manifest, index: 0 }, options)), {
      name: 'TimeoutError',
    })
    assert.equal(clock.monotonicMs() - startMs, shardStallMs)
    isStalling = false
    await assert.rejects(clock.settle(takeShard(open, { manifest, index: 0 }, options)), {
      name: 'TimeoutError',
    })
    assert.ok(clock.monotonicMs() - startMs < 3 * shardStallMs)
  })
})
