import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createShardCoder } from '../../erasure/coder/create-shard-coder.ts'
import type { CodedObject } from '../../erasure/coder/shard-coder.ts'
import type { PeerId } from '../../interface/network.ts'
import { blockLookupKey } from '../../key/block-hash.ts'
import { KiB } from '../../limits.ts'
import type { Identity } from '../../net/identity.ts'
import type { MemoryNetwork } from '../../net/memory-network.ts'
import { delay } from '../../std/clock.ts'
import {
  decodeHoldResult,
  decodeManifestAsks,
  decodeShardAsk,
  encodeHold,
  encodeOffers,
  type HoldResult,
} from '../../wire/block-messages.ts'
import { encodeManifestBody, joinManifest, type Manifest, stripeIdOf } from '../../wire/manifest.ts'
import { holdProtocol, manifestProtocol, shardProtocol } from './protocols.ts'
import { issueStripe, type Stripe } from './stripe.ts'
import { joinRoots } from './stripe-coding.ts'
import type { FetchedBlock, PlaceableBlock } from './swarm-blocks.ts'
import {
  assertSame,
  type BlockNode,
  blocksOf,
  collect,
  hashesOf,
  modelId,
  numericClass,
  TestBlockSwarm,
} from './test-blocks.ts'

const { signal } = new AbortController()

interface Placed {
  readonly swarm: TestBlockSwarm
  readonly placer: BlockNode
  readonly reader: BlockNode
  readonly others: readonly BlockNode[]
  readonly blocks: readonly PlaceableBlock[]
}

/** A swarm with blocks, whose placer is gone. */
async function placed(nodes: number, blockCount = 1): Promise<Placed> {
  const swarm = new TestBlockSwarm()
  const [placer, reader, ...others] = await swarm.addMany(nodes)
  assert.ok(placer !== undefined && reader !== undefined)
  const blocks = blocksOf('prompt', blockCount)
  await swarm.place(placer, blocks)
  swarm.kill(placer)
  await swarm.settleDown()
  return { swarm, placer, reader, others, blocks }
}

function shardsHeld(nodes: readonly BlockNode[]): number {
  return nodes.reduce((sum, { blocks }) => sum + blocks.stats().shardsHeld, 0)
}

describe('faults of holders', () => {
  it('a shard with one flipped bit is not used, and costs its holder reputation', async () => {
    const { swarm, reader, others, blocks } = await placed(9)
    const [liar] = others
    assert.ok(liar !== undefined)
    for (const name of liar.store.shardNames()) await liar.store.damage(name, 100_000)
    for (let fetches = 0; fetches < 20 && reader.reputation.scoreOf(liar.self) >= 0; fetches++) {
      assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
      // Best first: the others are asked less often when they are slower, as they all are in turn.
      for (const { self } of others) if (self !== liar.self) reader.reputation.note(self, 'timeout')
    }
    assert.ok(reader.reputation.scoreOf(liar.self) < -50)
    assert.equal(reader.counts.get('shard wrong'), 1)
    await swarm.close()
  })

  it('hashes of leaves that do not lead to the root are not believed', async () => {
    const { swarm, reader, others, blocks } = await placed(5)
    for (const { store } of others)
      for (const name of store.shardNames()) await store.damage(name, 3)
    assert.equal((await swarm.get(reader, hashesOf(blocks))).length, 0)
    assert.equal(reader.counts.get('shard wrong'), 3)
    await swarm.close()
  })

  it('holders that vanish in the middle of a fetch are replaced, as many as there is parity', async () => {
    const { swarm, reader, others, blocks } = await placed(9, 2)
    const run = await swarm.find(reader, hashesOf(blocks))
    const fetching = collect(reader.blocks.fetch(run, { signal }))
    await swarm.clock.run(15)
    for (const holder of others.slice(0, 4)) swarm.kill(holder)
    assertSame(await swarm.clock.settle(fetching), blocks)
    await swarm.close()
  })

  it('a fetch ends when more vanish, without hanging', async () => {
    const { swarm, reader, others, blocks } = await placed(9, 2)
    const run = await swarm.find(reader, hashesOf(blocks))
    const startMs = swarm.clock.monotonicMs()
    const fetching = collect(reader.blocks.fetch(run, { signal }))
    await swarm.clock.run(5)
    for (const holder of others.slice(0, 5)) swarm.kill(holder)
    assert.equal((await swarm.clock.settle(fetching)).length, 0)
    assert.ok(swarm.clock.monotonicMs() - startMs < 1_000)
    await swarm.close()
  })

  it('holders that freeze are replaced by others before they time out', async () => {
    const { swarm, reader, others, blocks } = await placed(9)
    const run = await swarm.find(reader, hashesOf(blocks))
    for (const holder of others.slice(0, 4)) swarm.world.freeze(holder.self)
    const startMs = swarm.clock.monotonicMs()
    assertSame(await swarm.fetch(reader, run), blocks)
    const tookMs = swarm.clock.monotonicMs() - startMs
    assert.ok(tookMs < 2_000, `${tookMs} ms`)
    await swarm.close()
  })

  it('a fetch of frozen holders ends', async () => {
    const { swarm, reader, others, blocks } = await placed(9)
    const run = await swarm.find(reader, hashesOf(blocks))
    for (const holder of others) swarm.world.freeze(holder.self)
    assert.equal((await swarm.fetch(reader, run)).length, 0)
    await swarm.close()
  })

  it('one slow holder does not make the fetch slow', async () => {
    const swarm = new TestBlockSwarm()
    const slow = (network: MemoryNetwork): MemoryNetwork => {
      const serveBytes = network.serveBytes.bind(network)
      network.serveBytes = (protocol, handler) =>
        serveBytes(protocol, async function* (body, from, options) {
          for await (const piece of handler(body, from, options)) {
            await delay(swarm.clock, 2_000, options.signal)
            yield piece
          }
        })
      return network
    }
    const [placer, reader] = await swarm.addMany(2)
    assert.ok(placer !== undefined && reader !== undefined)
    await swarm.addMany(3, { wrap: slow })
    await swarm.addMany(4)
    const blocks = blocksOf('prompt', 4)
    await swarm.place(placer, blocks)
    const run = await swarm.find(reader, hashesOf(blocks))
    const startMs = swarm.clock.monotonicMs()
    assertSame(await swarm.fetch(reader, run), blocks)
    const tookMs = swarm.clock.monotonicMs() - startMs
    assert.ok(tookMs < 1_000, `${tookMs} ms`)
    await swarm.close()
  })

  it('a holder with a full disk is replaced by the next candidate', async () => {
    const swarm = new TestBlockSwarm()
    const [placer, ...others] = await swarm.addMany(10)
    assert.ok(placer !== undefined)
    for (const { store } of others.slice(0, 1)) store.isFull = true
    await swarm.place(placer, blocksOf('prompt', 4))
    assert.equal(placer.counts.get('placement placed'), 4)
    assert.equal(shardsHeld(others), 4 * 8)
    await swarm.close()
  })

  it('fewer holders than shards will do, too few make the placement void', async () => {
    for (const [full, outcome] of [
      [2, 'placed'],
      [3, 'refused'],
    ] as const) {
      const swarm = new TestBlockSwarm()
      const [placer, reader, ...others] = await swarm.addMany(5)
      assert.ok(placer !== undefined && reader !== undefined)
      const blocks = blocksOf('prompt', 1)
      for (const { store } of others.slice(0, full)) store.isFull = true
      if (full === 3) reader.store.isFull = false
      await swarm.place(placer, blocks)
      assert.equal(placer.counts.get(`placement ${outcome}`), 1)
      assert.equal(shardsHeld([reader, ...others]), outcome === 'placed' ? 2 : 0)
      // Either way it can be had of whoever has it.
      assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
      await swarm.close()
    }
  })

  it('a holder keeps a quarter of its store for one peer at most', async () => {
    const swarm = new TestBlockSwarm()
    const placer = await swarm.add()
    const others = await swarm.addMany(4, { storeBytesMax: 8 * 400 * KiB })
    await swarm.place(placer, blocksOf('prompt', 6))
    for (const { blocks, store } of others) {
      assert.equal(blocks.stats().shardsHeld, 2)
      assert.ok(blocks.stats().shardBytes <= store.stats().bytesMax / 4)
    }
    // Told once, the placer does not go on asking.
    assert.equal(placer.counts.get('placement placed'), 2)
    assert.equal(placer.counts.get('placement alone'), 3)
    await swarm.close()
  })

  it('what a holder evicts is not announced any more', async () => {
    const { swarm, reader, others, blocks } = await placed(12)
    const provided = (): number => others.reduce((sum, n) => sum + n.directory.stats().provided, 0)
    const before = provided()
    const [holder] = others.filter(({ blocks: { stats } }) => stats.length === 0)
    for (const node of others)
      for (const name of node.store.shardNames()) await node.store.evict(name)
    assert.ok(before >= 6 && holder !== undefined)
    assert.equal(provided(), 0)
    assert.equal(shardsHeld(others), 0)
    await swarm.settleDown()
    assert.equal((await swarm.find(reader, hashesOf(blocks))).blocks.length, 0)
    await swarm.close()
  })

  it('shards expire 72 h after they were read last', async () => {
    const { swarm, reader, others, blocks } = await placed(5)
    const hoursMs = 3_600_000
    swarm.clock.jump(40 * hoursMs)
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    swarm.clock.jump(40 * hoursMs)
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    swarm.clock.jump(73 * hoursMs)
    assert.equal((await swarm.get(reader, hashesOf(blocks))).length, 0)
    assert.equal(shardsHeld(others), 0)
    await swarm.close()
  })
})

describe('repair', () => {
  it('a fetch that finds few shards makes the lost ones anew, of the same stripe', async () => {
    const { swarm, reader, others, blocks } = await placed(14)
    swarm.clock.jump(120_000)
    const holders = others.filter(({ blocks: own }) => own.stats().shardsHeld > 0)
    for (const holder of holders.slice(0, 3)) swarm.kill(holder)
    await swarm.settleDown()
    const left = shardsHeld(swarm.nodes)
    assert.ok(left < 6)
    const fetched = await swarm.get(reader, hashesOf(blocks))
    assertSame(fetched, blocks)
    // Whoever fetched a block opens it where it lies.
    for (const { sealed } of fetched) sealed.fill(0)
    await swarm.placed(reader)
    assert.equal(reader.counts.get('placement repaired'), 1)
    assert.equal(shardsHeld(swarm.nodes), 8)
    // The other half can go now.
    for (const holder of holders.slice(3, 7)) if (holder !== reader) swarm.kill(holder)
    await swarm.settleDown()
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    await swarm.close()
  })

  it('a fetch that finds enough repairs nothing', async () => {
    const { swarm, reader, others, blocks } = await placed(14)
    swarm.clock.jump(120_000)
    const [holder] = others.filter(({ blocks: own }) => own.stats().shardsHeld > 0)
    assert.ok(holder !== undefined)
    swarm.kill(holder)
    await swarm.settleDown()
    assertSame(await swarm.get(reader, hashesOf(blocks)), blocks)
    await swarm.placed(reader)
    assert.equal(reader.counts.get('placement repaired'), undefined)
    await swarm.close()
  })
})

interface Lie {
  readonly manifest?: Partial<Manifest>
  /** Shards that are served in place of those of the manifest. */
  readonly shards?: (coded: CodedObject) => readonly Uint8Array[]
}

/** A member that offers a stripe of the block, all shards of which it serves itself. */
async function addLiar(
  swarm: TestBlockSwarm,
  block: PlaceableBlock,
  { manifest: changes = {}, shards = coded => coded.shards }: Lie,
): Promise<{ readonly identity: Identity; readonly stripe: Stripe }> {
  const coder = createShardCoder({ threads: 0, clock: swarm.clock })
  await swarm.clock.settle(coder.start({ signal }))
  const code = { dataShards: 2, parityShards: 2 }
  const coded = await swarm.clock.settle(coder.encode(block.sealed, code, { signal }))
  const identity = swarm.identity()
  const facts = {
    lookupKey: blockLookupKey(block.hash),
    modelId,
    numericClass,
    objectBytes: block.sealed.length,
    dataShards: 2,
    shards: 4,
    roots: joinRoots(coded.roots),
    ...changes,
  }
  const stripe = issueStripe(facts, identity, swarm.clock)
  const served = shards(coded)
  await swarm.addRogue(network => {
    serveStripe(network, stripe)
    network.serveBytes(shardProtocol, async function* (body) {
      const { index } = decodeShardAsk(body)
      yield Buffer.concat(coded.leafHashes[index] ?? [])
      yield served[index]?.subarray(0, 256 * KiB) ?? new Uint8Array()
      yield served[index]?.subarray(256 * KiB) ?? new Uint8Array()
    })
  }, identity)
  return { identity, stripe }
}

function serveStripe(network: MemoryNetwork, { id, bytes }: Stripe): void {
  network.serve(manifestProtocol, async body =>
    encodeOffers(
      decodeManifestAsks(body).map(() => [
        { stripe: id, shards: 0b1111, isWhole: false, manifest: bytes },
      ]),
    ),
  )
}

describe('manifests that lie', () => {
  const sizes: Lie['manifest'] = { objectBytes: 700 * KiB }
  for (const [what, lie] of [
    ['k', { manifest: { dataShards: 1, roots: Buffer.alloc(4 * 32, 7) } }],
    ['more data shards', { manifest: { dataShards: 3 } }],
    ['n', { manifest: { shards: 3, roots: Buffer.alloc(3 * 32, 7) } }],
    ['sizes', { manifest: sizes }],
    ['roots', { manifest: { roots: Buffer.alloc(4 * 32, 7) } }],
  ] as readonly (readonly [string, Lie])[]) {
    it(`one that lies about ${what}, by a member, costs a failed fetch and reputation`, async () => {
      const swarm = new TestBlockSwarm()
      const [reader] = await swarm.addMany(1)
      const [block] = blocksOf('prompt', 1)
      assert.ok(reader !== undefined && block !== undefined)
      const { identity } = await addLiar(swarm, block, lie)
      assert.equal((await swarm.get(reader, [block.hash])).length, 0)
      assert.ok(reader.reputation.scoreOf(identity.peerId) < 0)
      await swarm.close()
    })
  }

  it('one whose shards are of something else gives another block, whose issuer is blamed once told', async () => {
    const swarm = new TestBlockSwarm()
    const [reader] = await swarm.addMany(1)
    const [block, other] = blocksOf('prompt', 2)
    assert.ok(reader !== undefined && block !== undefined && other !== undefined)
    const { identity, stripe } = await addLiar(swarm, { ...block, sealed: other.sealed }, {})
    const [fetched] = await swarm.get(reader, [block.hash])
    assert.ok(fetched !== undefined)
    assert.equal(fetched.issuer, identity.peerId)
    reader.blocks.reportInvalid(fetched)
    assert.ok(reader.reputation.scoreOf(identity.peerId) < -50)
    assert.equal((await swarm.get(reader, [block.hash])).length, 0)
    assert.equal(stripe.manifest.issuer, identity.peerId)
    await swarm.close()
  })

  it('repair finds out that other shards than the fetched ones are lies', async () => {
    const swarm = new TestBlockSwarm()
    const [reader] = await swarm.addMany(6)
    const [block] = blocksOf('prompt', 1)
    assert.ok(reader !== undefined && block !== undefined)
    const coder = createShardCoder({ threads: 0, clock: swarm.clock })
    await swarm.clock.settle(coder.start({ signal }))
    const code = { dataShards: 2, parityShards: 2 }
    const coded = await swarm.clock.settle(coder.encode(block.sealed, code, { signal }))
    const roots = joinRoots(coded.roots)
    roots.fill(9, 64)
    const identity = swarm.identity()
    const facts = { lookupKey: blockLookupKey(block.hash), modelId, numericClass, roots }
    const sizes = { objectBytes: block.sealed.length, dataShards: 2, shards: 4 }
    const stripe = issueStripe({ ...facts, ...sizes }, identity, swarm.clock)
    await swarm.addRogue(network => {
      network.serve(manifestProtocol, async body =>
        encodeOffers(
          decodeManifestAsks(body).map(() => [
            { stripe: stripe.id, shards: 0b0011, isWhole: false, manifest: stripe.bytes },
          ]),
        ),
      )
      network.serveBytes(shardProtocol, async function* (body) {
        const { index } = decodeShardAsk(body)
        yield Buffer.concat(coded.leafHashes[index] ?? [])
        yield coded.shards[index] ?? new Uint8Array()
      })
    }, identity)
    swarm.clock.jump(120_000)
    assertSame(await swarm.get(reader, [block.hash]), [block])
    await swarm.placed(reader)
    assert.equal(reader.counts.get('placement failed'), 1)
    assert.ok(reader.reputation.scoreOf(identity.peerId) < -50)
    await swarm.close()
  })

  it('one of another key, or that its issuer did not sign, costs whoever sends it', async () => {
    for (const isForeign of [true, false]) {
      const swarm = new TestBlockSwarm()
      const [reader] = await swarm.addMany(1)
      const [block, other] = blocksOf('prompt', 2)
      assert.ok(reader !== undefined && block !== undefined && other !== undefined)
      const identity = swarm.identity()
      const facts = {
        lookupKey: blockLookupKey(isForeign ? other.hash : block.hash),
        modelId,
        numericClass,
        objectBytes: 1_000,
        dataShards: 1,
        shards: 1,
        roots: new Uint8Array(32),
      }
      const right = issueStripe(facts, identity, swarm.clock)
      const forged = { ...right.manifest, objectBytes: 2_000 }
      const body = encodeManifestBody(forged)
      const wrong = { ...right, id: stripeIdOf(body), bytes: joinManifest(body, Buffer.alloc(64)) }
      const rogue = await swarm.addRogue(network => serveStripe(network, isForeign ? right : wrong))
      assert.equal((await swarm.get(reader, [block.hash])).length, 0)
      assert.ok(reader.reputation.scoreOf(rogue.self) < -50)
      await swarm.close()
    }
  })
})

describe('requests to hold', () => {
  async function ask(
    swarm: TestBlockSwarm,
    from: MemoryNetwork,
    to: PeerId,
    stripe: Pick<Stripe, 'bytes'>,
  ): Promise<HoldResult> {
    const body = encodeHold({ type: 'hold', index: 0, manifest: stripe.bytes })
    const options = { signal, timeoutMs: 60_000 }
    return decodeHoldResult(await swarm.clock.settle(from.request(to, holdProtocol, body, options)))
  }

  function sole(swarm: TestBlockSwarm, identity: Identity, name = 'x', bytes = 1_000): Stripe {
    const [block] = blocksOf(name, 1, 1_000)
    assert.ok(block !== undefined)
    const sizes = { objectBytes: bytes, dataShards: 1, shards: 1, roots: new Uint8Array(32) }
    const facts = { lookupKey: blockLookupKey(block.hash), modelId, numericClass, ...sizes }
    return issueStripe(facts, identity, swarm.clock)
  }

  it('a flood of them is refused and ends in quarantine', async () => {
    const swarm = new TestBlockSwarm()
    const [holder] = await swarm.addMany(1)
    assert.ok(holder !== undefined)
    const identity = swarm.identity()
    const rogue = await swarm.addRogue(() => undefined, identity)
    const results = new Map<HoldResult, number>()
    for (let wave = 0; wave < 4; wave++) {
      const asks = Array.from({ length: 500 }, () => {
        const body = encodeHold({ type: 'hold', index: 0, manifest: sole(swarm, identity).bytes })
        return rogue.request(holder.self, holdProtocol, body, { signal, timeoutMs: 60_000 })
      })
      for (const reply of await swarm.clock.settle(Promise.all(asks))) {
        const result = decodeHoldResult(reply)
        results.set(result, (results.get(result) ?? 0) + 1)
      }
    }
    assert.ok((results.get('unwanted') ?? 0) > 0)
    assert.equal(results.get('held'), undefined)
    assert.ok(holder.reputation.isQuarantined(rogue.self))
    assert.equal(holder.blocks.stats().shardsHeld, 0)
    await swarm.close()
  })

  it('a shard that is not what its manifest says is not held, and costs reputation', async () => {
    const swarm = new TestBlockSwarm()
    const [holder] = await swarm.addMany(1)
    assert.ok(holder !== undefined)
    const identity = swarm.identity()
    const rogue = await swarm.addRogue(network => {
      network.serveBytes(shardProtocol, async function* () {
        yield new Uint8Array(32 + 1_024)
      })
    }, identity)
    assert.equal(await ask(swarm, rogue, holder.self, sole(swarm, identity)), 'invalid')
    assert.ok(holder.reputation.scoreOf(rogue.self) < -50)
    assert.equal(holder.blocks.stats().shardsHeld, 0)
    await swarm.close()
  })

  it('one of an issuer whom the holder has never met is refused', async () => {
    const swarm = new TestBlockSwarm()
    const [holder] = await swarm.addMany(1)
    assert.ok(holder !== undefined)
    const rogue = await swarm.addRogue(() => undefined)
    assert.equal(await ask(swarm, rogue, holder.self, sole(swarm, swarm.identity())), 'unwanted')
    await swarm.close()
  })

  it('a manifest that is none, and one that is out of date, are refused', async () => {
    const swarm = new TestBlockSwarm()
    const [holder] = await swarm.addMany(1)
    assert.ok(holder !== undefined)
    const identity = swarm.identity()
    const rogue = await swarm.addRogue(() => undefined, identity)
    const old = sole(swarm, identity)
    swarm.clock.jump(40 * 86_400_000)
    assert.equal(await ask(swarm, rogue, holder.self, old), 'invalid')
    assert.equal(holder.reputation.scoreOf(rogue.self), 0)
    assert.equal(await ask(swarm, rogue, holder.self, { bytes: Buffer.alloc(100) }), 'invalid')
    assert.ok(holder.reputation.scoreOf(rogue.self) < 0)
    await swarm.close()
  })

  it('whoever sends nothing, or stalls, holds no place for ever', async () => {
    for (const isStalling of [true, false]) {
      const swarm = new TestBlockSwarm()
      const [holder] = await swarm.addMany(1)
      assert.ok(holder !== undefined)
      const identity = swarm.identity()
      const rogue = await swarm.addRogue(network => {
        network.serveBytes(shardProtocol, async function* (_body, _from, options) {
          if (isStalling) await delay(swarm.clock, 3_600_000, options.signal)
          yield* []
        })
      }, identity)
      assert.equal(await ask(swarm, rogue, holder.self, sole(swarm, identity)), 'busy')
      assert.ok(holder.reputation.scoreOf(rogue.self) < 0)
      await swarm.close()
    }
  })
})

describe('reportInvalid()', () => {
  it('blames the issuer and who has the block whole, not those who hold shards of it', async () => {
    const swarm = new TestBlockSwarm()
    const [placer, reader, ...others] = await swarm.addMany(9)
    assert.ok(placer !== undefined && reader !== undefined)
    const blocks = blocksOf('prompt', 1)
    await swarm.place(placer, blocks)
    const [fetched]: readonly FetchedBlock[] = await swarm.get(reader, hashesOf(blocks))
    assert.ok(fetched !== undefined)
    reader.blocks.reportInvalid(fetched)
    assert.ok(reader.reputation.scoreOf(placer.self) < -50)
    assert.ok(others.every(({ self }) => reader.reputation.scoreOf(self) >= 0))
    assert.equal((await swarm.get(reader, hashesOf(blocks))).length, 0)
    await swarm.close()
  })
})
