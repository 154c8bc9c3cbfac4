import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { OperationError } from '../../../errors.ts'
import type { BlockCodec } from '../../../interface/block-codec.ts'
import { silentLog } from '../../../interface/log.ts'
import { silentMetrics } from '../../../interface/metrics.ts'
import { parseModelId } from '../../../key/model-id.ts'
import { peerIdOfPublicKey } from '../../../key/peer-id.ts'
import { parseLookupKey } from '../../../key/response-key.ts'
import { localScope } from '../../../key/scope.ts'
import { blockBytes } from '../../../key/state-layout.ts'
import { MiB, prefixFillBytesMax, prefixFillHoldMsMax, prefixFillsMax } from '../../../limits.ts'
import { VirtualClock } from '../../../std/clock.ts'
import { SeededRandom } from '../../../std/seeded-random.ts'
import { TaskScope } from '../../../std/task-scope.ts'
import { InlineBlockCodec } from '../../../store/blocks/inline-block-codec.ts'
import { nonceBytes } from '../../../wire/block/sealed-block.ts'
import { BlockMemory } from '../../block-memory.ts'
import type { PlaceableBlock } from '../../blocks/swarm-blocks.ts'
import { createTestBlobStore } from '../../blocks/test-blob-store.ts'
import { RefusedIssuers } from '../audit/refused-issuers.ts'
import { blockAt, blocksOf } from '../prompt-blocks.ts'
import { Rates } from '../rates.ts'
import { type BlockOrigin, ownOrigin } from './block-note.ts'
import { BlockTiers } from './block-tiers.ts'
import { type BlockFill, FillQueue } from './fill-queue.ts'

const { signal } = new AbortController()
const issuer = peerIdOfPublicKey(new Uint8Array(32).fill(1))
const layout = { layers: [{ keyBytes: 2, valueBytes: 2 }], settings: '' }
const tokenIds = Array.from({ length: 128 }, (_, at) => at)
const run = '0123456789abcdef'
const fromPeer: BlockOrigin = { type: 'peer', issuer, run, upTo: 0, isAudited: false }
const audited = { ...fromPeer, isAudited: true }

/** Tiers and a queue whose sealing waits until it is let go. */
async function subject() {
  const clock = new VirtualClock()
  const store = createTestBlobStore(clock)
  const inline = new InlineBlockCodec({ random: new SeededRandom(1) })
  const gate = Promise.withResolvers<void>()
  let openFault: OperationError | undefined
  const codec: BlockCodec = {
    name: 'codec',
    start: async () => undefined,
    stop: async () => undefined,
    async seal(...what) {
      await gate.promise
      return await inline.seal(...what)
    },
    async open(block, sealed) {
      if (openFault !== undefined) throw openFault
      return await inline.open(block, sealed)
    },
    openInPlace: (block, sealed) => codec.open(block, sealed),
  }
  const refused = new RefusedIssuers()
  const scope = new TaskScope((task, error) => {
    throw new Error(task, { cause: error })
  })
  const shed: string[] = []
  const metrics = { ...silentMetrics, blocksShed: (reason: string) => void shed.push(reason) }
  const memory = new BlockMemory({ clock, scope })
  const shared = { store, codec, memory, clock, metrics, log: silentLog, scope, refused }
  const tiers = new BlockTiers({ ...shared, rates: new Rates(clock) }, { memoryBytesMax: MiB })
  await tiers.start({ signal })
  const queue = new FillQueue({ ...shared, tiers })
  const model = { numericClass: 'test' }
  const prompt = { tokenIds, headTokens: 0, markTokens: [] }
  const blocks = await blocksOf(prompt, model, { layout }, localScope(new Uint8Array(32), ''))
  const block = blockAt(blocks, 0)
  const placed: PlaceableBlock[] = []
  const rows = new Uint8Array(blockBytes(layout))
  const modelId = parseModelId(`sha256:${'ab'.repeat(32)}`)
  assert.ok(modelId !== undefined)
  const times = { costSeconds: 1, expiresAt: clock.now() + 1_000 }
  const place = (given: PlaceableBlock): void => void placed.push(given)
  const fill = { block, rows, modelId, swarm: undefined, ...times, origin: ownOrigin, place }
  const add = (origin: BlockOrigin, changes: Partial<BlockFill> = {}): void =>
    queue.add({ ...fill, origin, ...changes })
  const sealAtOnce = (): void => gate.resolve()
  const settled = async (): Promise<void> => {
    sealAtOnce()
    await scope.drain()
  }
  const failToOpen = (fault: OperationError | undefined): void => {
    openFault = fault
  }
  return {
    clock,
    store,
    tiers,
    queue,
    refused,
    block,
    placed,
    add,
    sealAtOnce,
    settled,
    failToOpen,
    shed,
  }
}

/** Long enough for whatever would go on by itself. */
async function turns(): Promise<void> {
  for (let count = 0; count < 20; count++) await setImmediate()
}

describe('FillQueue', () => {
  it('stores, then gives to the swarm', async () => {
    const { tiers, block, placed, add, settled } = await subject()
    add(ownOrigin)
    assert.equal(tiers.isOnDisk(block.key), false)
    assert.deepEqual(tiers.originOf(block.key), ownOrigin, 'in memory at once')
    await settled()
    assert.equal(tiers.isOnDisk(block.key), true)
    assert.equal(placed.length, 1)
  })

  it('gives up nothing that was computed here for what a peer sends', async () => {
    const { tiers, store, block, add, settled } = await subject()
    add(ownOrigin)
    await settled()
    const before = await store.read(block.key, { signal })
    add(fromPeer, { nonce: new Uint8Array(nonceBytes) })
    await settled()
    assert.deepEqual(tiers.originOf(block.key), ownOrigin)
    assert.deepEqual(await store.read(block.key, { signal }), before)
  })

  it('gives up what a peer sent for what was computed here', async () => {
    const { tiers, block, add, settled } = await subject()
    add(fromPeer)
    await settled()
    assert.deepEqual(tiers.originOf(block.key), fromPeer)
    add(ownOrigin)
    await settled()
    assert.deepEqual(tiers.originOf(block.key), ownOrigin)
  })

  it('stores as audited what was audited while it waited', async () => {
    const { tiers, block, add, settled } = await subject()
    add(fromPeer)
    await tiers.revise(() => audited)
    await settled()
    await tiers.stop()
    assert.deepEqual(tiers.originOf(block.key), audited, 'on disk')
  })

  it('keeps nothing of an issuer that was found to lie while it was stored', async () => {
    const { tiers, store, refused, block, placed, add, settled } = await subject()
    add(audited)
    refused.add(issuer)
    await settled()
    assert.equal(store.stats().blobs, 0)
    assert.equal(await tiers.read(block, { signal }), undefined)
    assert.deepEqual(placed, [])
  })

  it('hold() lets blocks wait until all have let go, or one has held too long', async () => {
    const { clock, tiers, queue, block, add, settled } = await subject()
    const [first, second] = [queue.hold(), queue.hold()]
    add(ownOrigin)
    const stored = settled()
    first()
    first()
    await turns()
    assert.ok(queue.has(block.key), 'the other one holds')
    second()
    await stored
    assert.equal(tiers.isOnDisk(block.key), true)
    const late = queue.hold()
    add(audited)
    clock.advance(prefixFillHoldMsMax)
    late()
    await settled()
    assert.deepEqual(tiers.originOf(block.key), audited)
    assert.equal(queue.has(block.key), false)
  })

  it('hold() gives way when the queue fills', async () => {
    const { queue, block, add, settled } = await subject()
    const release = queue.hold()
    add(ownOrigin, { rows: new Uint8Array(prefixFillBytesMax / 2) })
    await settled()
    assert.equal(queue.has(block.key), false, 'it is not waiting any more')
    release()
  })

  it('hold() gives way when many small blocks wait', async () => {
    const { queue, block, shed, add, sealAtOnce, settled } = await subject()
    sealAtOnce()
    const release = queue.hold()
    for (let count = 0; count < 2 * prefixFillsMax; count++) {
      const key = parseLookupKey(count.toString(16).padStart(64, '0')) ?? assert.fail()
      add(ownOrigin, { block: { ...block, key } })
      if (count % 100 === 0) await turns()
    }
    assert.deepEqual(shed, [])
    release()
    await settled()
  })

  it('clear() forgets what is being stored too', async () => {
    const { tiers, store, queue, block, placed, add, settled } = await subject()
    add(ownOrigin)
    await Promise.resolve()
    queue.clear()
    await tiers.clear()
    await settled()
    assert.equal(store.stats().blobs, 0)
    assert.equal(tiers.isOnDisk(block.key), false)
    assert.deepEqual(placed, [])
  })
})

describe('BlockTiers', () => {
  it('read() does not forget a block that could only not be opened now', async () => {
    const { tiers, block, add, settled, failToOpen } = await subject()
    add(ownOrigin)
    await settled()
    await tiers.stop()
    await tiers.start({ signal })
    failToOpen(new OperationError('store_failed', 'too many', { origin: 'self' }))
    assert.equal(await tiers.read(block, { signal }), undefined)
    assert.deepEqual(tiers.leading([block.key]), ['disk'])
    failToOpen(new OperationError('block_invalid', 'wrong', { origin: 'peer' }))
    const lost: string[] = []
    tiers.onLost(key => lost.push(key))
    assert.equal(await tiers.read(block, { signal }), undefined)
    assert.deepEqual(tiers.leading([block.key]), [])
    assert.deepEqual(lost, [block.key])
  })

  it('read() gives out nothing of an issuer that was found to lie meanwhile', async () => {
    const { tiers, store, refused, block, add, settled } = await subject()
    add(fromPeer)
    await settled()
    await tiers.stop()
    await tiers.start({ signal })
    const { read } = store
    store.read = async (name, options) => {
      refused.add(issuer)
      return await read(name, options)
    }
    assert.equal(await tiers.read(block, { signal }), undefined)
    assert.deepEqual(tiers.leading([block.key]), [], 'neither on disk nor in memory')
    assert.equal(tiers.stats().memory.blocks, 0)
  })
})
