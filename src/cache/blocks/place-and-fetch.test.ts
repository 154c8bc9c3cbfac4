import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockLookupKey } from '../../key/block-hash.ts'
import { parseSwarmTag } from '../../key/scope.ts'
import { KiB, MiB } from '../../limits.ts'
import { rehearseStripes } from './stripe.ts'
import {
  assertSame,
  type BlockNode,
  blockBytes,
  blocksOf,
  collect,
  hashesOf,
  TestBlockSwarm,
} from './test-blocks.ts'

function holdersIn(nodes: readonly BlockNode[]): readonly BlockNode[] {
  return nodes.filter(({ blocks }) => blocks.stats().shardsHeld > 0)
}

async function swarmOf(count: number): Promise<{
  readonly swarm: TestBlockSwarm
  readonly placer: BlockNode
  readonly reader: BlockNode
  readonly others: readonly BlockNode[]
}> {
  const swarm = new TestBlockSwarm()
  const [placer, reader, ...others] = await swarm.addMany(count)
  assert.ok(placer !== undefined && reader !== undefined)
  return { swarm, placer, reader, others }
}

describe('rehearseStripes()', () => {
  it('reads as many manifests as it makes, and finds nothing wrong with them', async () => {
    const swarm = new TestBlockSwarm()
    const identity = swarm.identity()
    let signed = 0
    const signer = {
      peerId: identity.peerId,
      sign(bytes: Uint8Array): Uint8Array {
        signed += 1
        return identity.sign(bytes)
      },
    }
    await rehearseStripes(signer, swarm.clock)
    assert.ok(signed >= 16)
    const wrong = { ...signer, sign: () => new Uint8Array(64) }
    await assert.rejects(rehearseStripes(wrong, swarm.clock), { code: 'manifest_invalid' })
  })
})

describe('KV blocks in a swarm', () => {
  for (const { nodes, code, lost } of [
    { nodes: 5, code: [2, 4], lost: 2 },
    { nodes: 9, code: [4, 8], lost: 4 },
    { nodes: 20, code: [4, 8], lost: 4 },
  ] as const) {
    it(`fetch() gives what was placed on ${nodes} nodes without the placer and ${lost} holders`, async () => {
      const { swarm, placer, reader, others } = await swarmOf(nodes)
      const [block] = blocksOf('prompt', 1)
      assert.ok(block !== undefined)
      await swarm.place(placer, [block])
      assert.deepEqual(placer.blocks.stats().placed, 1)
      const shards = [reader, ...others].map(({ blocks }) => blocks.stats().shardsHeld)
      assert.equal(
        shards.reduce((sum, count) => sum + count),
        code[1],
      )
      assert.ok(shards.every(count => count <= 1))
      swarm.kill(placer)
      for (const holder of holdersIn(others).slice(0, lost)) swarm.kill(holder)
      await swarm.settleDown()
      const run = await swarm.find(reader, [block.hash])
      assert.equal(run.bytes, blockBytes)
      assert.ok(run.bandwidth > 0)
      assert.equal(run.latencyMs, 20)
      assertSame(await swarm.fetch(reader, run), [block])
      await swarm.close()
    })

    it(`find() finds nothing on ${nodes} nodes when one holder more is gone`, async () => {
      const { swarm, placer, reader, others } = await swarmOf(nodes)
      const blocks = blocksOf('prompt', 1)
      await swarm.place(placer, blocks)
      swarm.kill(placer)
      for (const holder of holdersIn(others).slice(0, lost + 1)) swarm.kill(holder)
      await swarm.settleDown()
      assert.equal(holdersIn(swarm.nodes).length, code[0] - 1)
      assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
      await swarm.close()
    })
  }

  it('fetch() gives the first blocks while the others come, and predicts how fast', async () => {
    const swarm = new TestBlockSwarm({ bandwidth: 2_500_000, latencyMs: 20 })
    const [placer, reader] = await swarm.addMany(9)
    assert.ok(placer !== undefined && reader !== undefined)
    const blocks = blocksOf('prompt', 12, 2 * MiB)
    await swarm.place(placer, blocks)
    swarm.kill(placer)
    await swarm.settleDown()
    const fetchMs = async (): Promise<readonly number[]> => {
      const run = await swarm.find(reader, hashesOf(blocks))
      assert.equal(run.blocks.length, 12)
      const startMs = swarm.clock.monotonicMs()
      const fetching = async (): Promise<readonly number[]> => {
        const times: number[] = []
        const { signal } = new AbortController()
        for await (const _ of reader.blocks.fetch(run, { signal })) {
          times.push(swarm.clock.monotonicMs() - startMs)
        }
        return times
      }
      return [
        run.latencyMs + (run.bytes / run.bandwidth) * 1_000,
        ...(await swarm.clock.settle(fetching())),
      ]
    }
    const [, first = 0, ...later] = await fetchMs()
    const last = later.at(-1) ?? 0
    assert.equal(later.length, 11)
    assert.ok(first < last / 4, `${first} of ${last} ms`)
    // One of four shards of each is here: the others are all that travelled.
    assert.equal(reader.counts.get('received'), (12 * 3 * 2 * MiB) / 4)
    const [predicted = 0, ...again] = await fetchMs()
    const took = again.at(-1) ?? 0
    assert.ok(Math.abs(predicted - took) < 0.4 * took, `${predicted} for ${took} ms`)
    await swarm.close()
  })

  it('find() gives the leading run only, and fetch() its blocks in order', async () => {
    const { swarm, placer, reader } = await swarmOf(9)
    const blocks = blocksOf('prompt', 6)
    await swarm.place(placer, [...blocks.slice(0, 3), ...blocks.slice(4)])
    const run = await swarm.find(reader, hashesOf(blocks))
    assert.equal(run.blocks.length, 3)
    assert.deepEqual(
      run.blocks.map(({ issuer }) => issuer),
      [placer.self, placer.self, placer.self],
    )
    assertSame(await swarm.fetch(reader, run), blocks.slice(0, 3))
    // The part of a run that is worth it may be fetched alone.
    const part = { ...run, blocks: run.blocks.slice(1, 2) }
    assertSame(await swarm.fetch(reader, part), blocks.slice(1, 2))
    await swarm.close()
  })

  for (const nodes of [5, 20]) {
    it(`find() walks a chain of 70 blocks on ${nodes} nodes in a few round trips`, async () => {
      const { swarm, placer, reader } = await swarmOf(nodes)
      const blocks = blocksOf('long', 70, 8 * KiB)
      await swarm.place(placer, blocks)
      const startMs = swarm.clock.monotonicMs()
      const run = await swarm.find(reader, hashesOf([...blocks, ...blocksOf('unknown', 60)]))
      assert.equal(run.blocks.length, 70)
      const roundTrips = (swarm.clock.monotonicMs() - startMs) / 20
      assert.ok(roundTrips <= 5, `${roundTrips} round trips`)
      assertSame(await swarm.fetch(reader, run), blocks)
      await swarm.close()
    })
  }

  it('find() remembers for a while that nobody has a block, and not once somebody has', async () => {
    const { swarm, placer, reader } = await swarmOf(5)
    const blocks = blocksOf('prompt', 1, 8 * KiB)
    const sent = (): number => reader.network.peers().reduce((sum, view) => sum + view.bytesSent, 0)
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
    const before = sent()
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
    assert.equal(sent(), before)
    await swarm.place(placer, blocks)
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 1)
    await swarm.close()
  })

  it('place() keeps whole copies where peers are few, and serves its own without any', async () => {
    const { swarm, placer, reader, others } = await swarmOf(3)
    const [third] = others
    assert.ok(third !== undefined)
    const blocks = blocksOf('prompt', 2)
    await swarm.place(placer, blocks)
    assert.equal(reader.blocks.stats().shardsHeld, 2)
    assert.equal(third.blocks.stats().shardsHeld, 2)
    swarm.kill(placer)
    swarm.kill(third)
    await swarm.settleDown()
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    await swarm.close()
  })

  it('place() is not done twice while the swarm has the block: the second one has it whole', async () => {
    const { swarm, placer, reader, others } = await swarmOf(9)
    const [block] = blocksOf('prompt', 1)
    const [other] = others
    assert.ok(block !== undefined && other !== undefined)
    await swarm.place(placer, [block])
    // Sealed anew: other bytes of the same block.
    const again = { ...block, sealed: block.sealed.map(byte => byte ^ 1) }
    await swarm.place(other, [again])
    assert.equal(other.counts.get('placement known'), 1)
    await swarm.place(reader, [block])
    assert.equal(reader.counts.get('placement known'), 1)
    const shards = swarm.nodes.map(({ blocks }) => blocks.stats().shardsHeld)
    assert.equal(
      shards.reduce((sum, count) => sum + count),
      8,
    )
    // All holders but the two go: one has the block of the stripe, the other one of its own.
    for (const node of [...swarm.nodes]) if (node !== reader && node !== other) swarm.kill(node)
    const asker = await swarm.add()
    await swarm.settleDown()
    assertSame(await swarm.get(asker, [block.hash]), [block])
    swarm.kill(reader)
    await swarm.settleDown()
    assertSame(await swarm.get(asker, [block.hash]), [again])
    await swarm.close()
  })

  it('place() waits for peers where there are none, and places what it still has', async () => {
    const swarm = new TestBlockSwarm()
    const placer = await swarm.add()
    const blocks = blocksOf('prompt', 2)
    await swarm.place(placer, blocks)
    assert.equal(placer.counts.get('placement alone'), 2)
    placer.local.delete(blockLookupKey(blocks[0]?.hash ?? assert.fail()))
    const others = await swarm.addMany(5)
    await swarm.clock.run(10_000)
    assert.equal(placer.counts.get('placement placed'), 1)
    assert.equal(holdersIn(others).length, 5)
    await swarm.close()
  })

  it('recall() tells when a block need not be read and placed again', async () => {
    const swarm = new TestBlockSwarm()
    const placer = await swarm.add()
    const [block, unknown] = blocksOf('prompt', 2)
    assert.ok(block !== undefined && unknown !== undefined)
    assert.equal(placer.blocks.recall(block), false)
    await swarm.place(placer, [block])
    swarm.kill(placer)
    const restarted = await swarm.add(placer)
    await swarm.settleDown()
    assert.equal(restarted.blocks.recall(unknown), false)
    assert.equal(restarted.blocks.recall(block), true, 'there is nobody who could take it')
    const others = await swarm.addMany(5)
    await swarm.clock.run(10_000)
    assert.equal(restarted.counts.get('placement placed'), 1, 'it was remembered')
    assert.equal(holdersIn(others).length, 5)
    assert.equal(restarted.blocks.recall(block), true, 'it is placed')
    await swarm.close()
  })

  it('place() sheds what is too much, and counts it', async () => {
    const { swarm, placer } = await swarmOf(5)
    for (const block of blocksOf('many', 300, KiB)) placer.blocks.place(block)
    await swarm.placed(placer)
    assert.ok((placer.counts.get('placement shed') ?? 0) >= 300 - 256 - 16)
    await swarm.close()
  })

  it('withdraw() ends the offer of the block itself', async () => {
    const swarm = new TestBlockSwarm()
    const [placer, reader] = await swarm.addMany(2)
    assert.ok(placer !== undefined && reader !== undefined)
    const blocks = blocksOf('prompt', 2, 8 * KiB)
    await swarm.place(placer, blocks)
    assert.equal(placer.blocks.stats().placed, 2)
    placer.blocks.withdraw(hashesOf(blocks))
    for (const name of reader.store.shardNames()) await reader.store.evict(name)
    await swarm.settleDown()
    assert.equal(placer.blocks.stats().placed, 0)
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
    await swarm.close()
  })

  it('a block that was sealed anew is not given away under the manifest of the old one', async () => {
    const swarm = new TestBlockSwarm()
    const [placer, reader] = await swarm.addMany(2)
    assert.ok(placer !== undefined && reader !== undefined)
    const [block] = blocksOf('prompt', 1)
    assert.ok(block !== undefined)
    await swarm.place(placer, [block])
    placer.local.set(
      blockLookupKey(block.hash),
      block.sealed.map(byte => byte ^ 1),
    )
    for (const name of reader.store.shardNames()) await reader.store.evict(name)
    assert.equal((await swarm.get(reader, [block.hash])).length, 0)
    assert.equal(reader.counts.get('shard wrong'), undefined)
    assert.equal(placer.blocks.stats().placed, 0)
    await swarm.close()
  })

  it('what a node holds and has placed is offered again after its restart', async () => {
    const { swarm, placer, reader, others } = await swarmOf(5)
    const blocks = blocksOf('prompt', 2)
    await swarm.place(placer, blocks)
    const [first] = others
    assert.ok(first !== undefined)
    for (const node of [...others, placer]) swarm.kill(node)
    await swarm.settleDown()
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
    const again = await swarm.add(first)
    await swarm.settleDown()
    assert.equal(again.blocks.stats().shardsHeld, 2)
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    swarm.kill(again)

    // One of its blocks is gone: only the other one is offered.
    placer.local.delete(blockLookupKey(blocks[1]?.hash ?? assert.fail()))
    const restarted = await swarm.add(placer)
    await swarm.settleDown()
    assert.equal(restarted.blocks.stats().placed, 1)
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks.slice(0, 1))
    await swarm.close()
  })

  it('what is stored for one swarm is not offered to another, and kept for the first', async () => {
    const { swarm, placer, others } = await swarmOf(5)
    const blocks = blocksOf('prompt', 2)
    await swarm.place(placer, blocks)
    const [holder] = others
    assert.ok(holder !== undefined)
    swarm.kill(holder)
    swarm.kill(placer)
    const elsewhere = { swarm: parseSwarmTag('fedcba9876543210') ?? assert.fail() }
    for (const { identity, store, local } of [holder, placer]) {
      const node = await swarm.add({ identity, store, local, ...elsewhere })
      await swarm.settleDown()
      const { shardsHeld, placed } = node.blocks.stats()
      assert.deepEqual([shardsHeld, placed, node.directory.stats().provided], [0, 0, 0])
      swarm.kill(node)
    }
    const back = await swarm.add(holder)
    await swarm.settleDown()
    assert.equal(back.blocks.stats().shardsHeld, 2)
    await swarm.close()
  })

  it('a block of this node that was never placed is not told of, whoever asks', async () => {
    const { swarm, placer, reader } = await swarmOf(5)
    const [shared, secret] = blocksOf('prompt', 2)
    assert.ok(shared !== undefined && secret !== undefined)
    placer.local.set(blockLookupKey(secret.hash), secret.sealed)
    await swarm.place(placer, [shared])
    assert.equal((await swarm.find(reader, [secret.hash])).blocks.length, 0)
    assert.equal((await swarm.find(reader, [shared.hash])).blocks.length, 1)
    await swarm.close()
  })

  it('a large block is coded in 14 shards of which 8 do', async () => {
    const { swarm, placer, reader } = await swarmOf(16)
    const blocks = blocksOf('large', 1, 5 * MiB)
    await swarm.place(placer, blocks)
    const holders = holdersIn(swarm.nodes)
    assert.equal(holders.length, 14)
    swarm.kill(placer)
    for (const node of holders.filter(holder => holder !== reader).slice(0, 6)) swarm.kill(node)
    await swarm.settleDown()
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    await swarm.close()
  })

  it('fetch() ends when the signal fires, and leaves nothing running', async () => {
    const { swarm, placer, reader } = await swarmOf(9)
    const blocks = blocksOf('prompt', 8)
    await swarm.place(placer, blocks)
    const run = await swarm.find(reader, hashesOf(blocks))
    const controller = new AbortController()
    const fetched = reader.blocks.fetch(run, { signal: controller.signal })[Symbol.asyncIterator]()
    const first = await swarm.clock.settle(fetched.next())
    assert.equal(first.done, false)
    const second = fetched.next()
    const third = fetched.next()
    controller.abort(new DOMException('Enough', 'AbortError'))
    await swarm.clock.settle(Promise.allSettled([second, third]))
    await assert.rejects(second, { name: 'AbortError' })
    const received = reader.counts.get('received')
    await swarm.clock.run(5_000)
    assert.equal(reader.counts.get('received'), received)
    assert.deepEqual(await swarm.clock.settle(fetched.next()), { done: true, value: undefined })
    await swarm.close()
  })

  it('find() throws the reason of its signal, and ends at its deadline', async () => {
    const { swarm, placer, reader, others } = await swarmOf(9)
    const blocks = blocksOf('prompt', 2)
    await swarm.place(placer, blocks)
    for (const { self } of others) swarm.world.freeze(self)
    const startMs = swarm.clock.monotonicMs()
    await swarm.find(reader, hashesOf(blocks), 300)
    assert.equal(swarm.clock.monotonicMs() - startMs, 300)
    const signal = AbortSignal.abort(new DOMException('No more', 'AbortError'))
    const options = { signal, deadlineMs: 100 }
    await assert.rejects(reader.blocks.find(hashesOf(blocks), options), { name: 'AbortError' })
    await swarm.close()
  })

  it('fetch() of a run that is not of find() gives nothing', async () => {
    const { swarm, placer, reader } = await swarmOf(5)
    const [block] = blocksOf('prompt', 1)
    assert.ok(block !== undefined)
    await swarm.place(placer, [block])
    const made = { hash: block.hash, bytes: blockBytes, issuer: placer.self }
    const run = { blocks: [made], bytes: blockBytes, bandwidth: 1, latencyMs: 1 }
    const { signal } = new AbortController()
    assert.deepEqual(await swarm.clock.settle(collect(reader.blocks.fetch(run, { signal }))), [])
    await swarm.close()
  })
})
