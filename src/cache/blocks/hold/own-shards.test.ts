import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { createShardCoder } from '../../../erasure/coder/create-shard-coder.ts'
import type { ShardCoder } from '../../../erasure/coder/shard-coder.ts'
import { leafHashBytes } from '../../../erasure/leaves.ts'
import { splitObject } from '../../../erasure/shards.ts'
import type { MemoryFor } from '../../../interface/blob-store.ts'
import { blockLookupKey } from '../../../key/block-hash.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { KiB, spareMemoryIdleMs } from '../../../limits.ts'
import { Identity } from '../../../net/identity.ts'
import { SeededRandom } from '../../../std/seeded-random.ts'
import { SimulatedClock } from '../../../std/simulated-clock.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import { BlockMemory } from '../../block-memory.ts'
import { issueStripe, type Stripe } from '../stripe.ts'
import { encodeBlock, joinLeaves, joinRoots } from '../stripe-coding.ts'
import { createTestBlobStore } from '../test-blob-store.ts'
import { blocksOf, collect, modelId, numericClass, swarmTag } from '../test-blocks.ts'
import { ownName } from './blob-notes.ts'
import { KeyOffers } from './key-offers.ts'
import { OwnShards } from './own-shards.ts'
import { OwnStripes } from './own-stripes.ts'
import type { ShardSource } from './shard-source.ts'

const { signal } = new AbortController()
/** No multiple of 64 bytes: the last shard is filled up. */
const oddBytes = 600 * KiB + 5

/** One own block of a node, coded and kept, and whether shards of it were hashed to be served. */
async function bed(context: TestContext, dataShards: number, bytes: number = oddBytes) {
  const clock = new SimulatedClock()
  const random = new SeededRandom(5)
  const coder = createShardCoder({ threads: 0, clock })
  const store = createTestBlobStore(clock)
  await coder.start({ signal })
  await store.start({ signal })
  context.after(() => Promise.all([coder.stop(), store.stop()]))
  let hashed = 0
  const counting: ShardCoder = {
    ...coder,
    hash(shards, options) {
      hashed += shards.length
      return coder.hash(shards, options)
    },
  }
  const [block] = blocksOf('own', 1)
  assert.ok(block !== undefined)
  const key = blockLookupKey(block.hash)
  const sealed = random.bytes(bytes)
  const local = new Map<LookupKey, Uint8Array>([[key, sealed]])
  const memories: Uint8Array[] = []
  const localBlocks = {
    has: (wanted: LookupKey) => local.has(wanted),
    async sealed(wanted: LookupKey, memoryFor?: MemoryFor) {
      const found = local.get(wanted)
      const memory = found && memoryFor?.(found.length)
      if (found === undefined || memory === undefined) return found
      memory.set(found)
      memories.push(memory)
      return memory
    },
  }
  const directory = { add: () => undefined, remove: () => undefined }
  const offers = new KeyOffers(directory)
  const own = new OwnStripes({ store, localBlocks, offers, clock, swarm: swarmTag })
  const code = { dataShards, shards: dataShards + 1 }
  const facts = { lookupKey: key, modelId, numericClass, objectBytes: bytes, ...code }
  const signer = Identity.fromSeed(random.bytes(32))
  const putCoded = async (bytesOfIt: Uint8Array) => {
    const coded = await encodeBlock(coder, bytesOfIt, code, { signal })
    const stripe = issueStripe({ ...facts, roots: joinRoots(coded.roots) }, signer, clock)
    await own.put({ stripe, leafHashes: joinLeaves(coded.leafHashes, dataShards) }, true)
    return { stripe, coded }
  }
  const { stripe, coded } = await putCoded(sealed)
  const scope = new TaskScope((task, error) => assert.fail(`${task}: ${error}`))
  const memory = new BlockMemory({ clock, scope })
  const shards = new OwnShards({ own, localBlocks, coder: counting, memory })
  const open = (index: number): Promise<ShardSource | undefined> =>
    shards.open({ stripe: stripe.id, index }, { signal })
  const served = async (index: number): Promise<Uint8Array | undefined> => {
    const source = await open(index)
    if (source === undefined) return undefined
    const whole = Buffer.concat(await collect(source.pieces))
    assert.equal(whole.length, source.bytes)
    source.release?.()
    return whole
  }
  const expected = (index: number): Uint8Array => {
    const shard = splitObject(sealed, dataShards)[index]
    return Buffer.concat([...(coded.leafHashes[index] ?? []), shard ?? assert.fail()])
  }
  const hashedCount = (): number => hashed
  const kept = { key, local, sealed, own, store, stripe }
  return { ...kept, clock, memories, open, served, expected, hashedCount, putCoded }
}

/** What is kept of the stripe, but with other hashes. */
async function keep(own: OwnStripes, stripe: Stripe, leafHashes: Uint8Array): Promise<void> {
  await own.put({ stripe, leafHashes }, true)
}

describe('OwnShards', () => {
  it('serves data shards under the hashes that were kept, and hashes nothing again', async t => {
    for (const dataShards of [1, 4]) {
      const { served, expected, hashedCount } = await bed(t, dataShards)
      for (let index = 0; index < dataShards; index++) {
        assert.deepEqual(await served(index), expected(index))
      }
      assert.equal(hashedCount(), 0)
      assert.equal(await served(dataShards), undefined, 'parity is not cut off the block')
    }
  })

  it('hashes the shards of a block whose hashes are lost, cut short or others', async t => {
    const { own, stripe, served, expected, hashedCount } = await bed(t, 2)
    const hashes = expected(0).subarray(0, 5 * leafHashBytes)
    const wrong = [new Uint8Array(1), hashes, Buffer.concat([hashes, hashes])]
    for (const [round, leafHashes] of wrong.entries()) {
      await keep(own, stripe, leafHashes)
      assert.deepEqual(await served(1), expected(1))
      assert.equal(hashedCount(), round + 1)
    }
  })

  it('reads a block once for all who are sent of it, and into the memory of those before', async t => {
    const { open, served, expected, memories, clock } = await bed(t, 2)
    const [first, second] = await Promise.all([open(0), open(1)])
    assert.ok(first !== undefined && second !== undefined)
    assert.equal(memories.length, 1)
    first.release?.()
    const third = await open(0)
    assert.equal(memories.length, 1, 'it is still being sent')
    second.release?.()
    assert.ok(third !== undefined)
    assert.deepEqual(Buffer.concat(await collect(third.pieces)), expected(0))
    third.release?.()
    assert.deepEqual(await served(1), expected(1))
    assert.equal(memories.length, 2)
    assert.equal(memories[1]?.buffer, memories[0]?.buffer)
    await clock.run(spareMemoryIdleMs)
    assert.deepEqual(await served(1), expected(1))
    assert.notEqual(memories[2]?.buffer, memories[0]?.buffer, 'not kept for ever')
  })

  it('gives the memory back of what turned out not to be the block', async t => {
    const { key, local, sealed, served, expected, memories, putCoded } = await bed(t, 2)
    local.set(
      key,
      sealed.map(byte => byte ^ 1),
    )
    assert.equal(await served(0), undefined)
    const { stripe } = await putCoded(sealed)
    assert.ok(stripe)
    local.set(key, sealed)
    assert.deepEqual(await served(0), expected(0))
    assert.equal(memories.length, 2)
    assert.equal(memories[1]?.buffer, memories[0]?.buffer)
  })

  it('gives nothing of a block whose manifest is lost', async t => {
    const { key, served, store, own } = await bed(t, 1)
    await store.evict(ownName(key))
    assert.equal(await served(0), undefined)
    assert.equal(own.get(key), undefined)
  })

  it('hashes shards that are smaller than a leaf', async t => {
    const { served, expected, hashedCount } = await bed(t, 2, 10 * KiB)
    assert.deepEqual(await served(1), expected(1))
    assert.equal(hashedCount(), 1)
  })

  it('keeps offering a block that is sealed and placed anew while it is asked for', async t => {
    const { key, local, sealed, own, served, putCoded } = await bed(t, 2)
    const anew = sealed.map(byte => byte ^ 1)
    const leafHashesOf = own.leafHashesOf.bind(own)
    let id: string | undefined
    own.leafHashesOf = async (...args) => {
      id ??= (await putCoded(anew)).stripe.id
      return await leafHashesOf(...args)
    }
    local.set(key, anew)
    assert.equal(await served(1), undefined)
    assert.equal(own.get(key)?.id, id)
  })

  it('gives nothing of a block that was sealed anew, has another size, or is gone', async t => {
    const anew = [
      (sealed: Uint8Array) => sealed.map(byte => byte ^ 1),
      (sealed: Uint8Array) => sealed.subarray(1),
      () => undefined,
    ]
    for (const change of anew) {
      const { key, local, sealed, own, served } = await bed(t, 2)
      const changed = change(sealed)
      if (changed === undefined) local.delete(key)
      else local.set(key, changed)
      assert.equal(await served(1), undefined)
      assert.equal(own.get(key), undefined, 'it is not offered any more')
    }
  })
})
