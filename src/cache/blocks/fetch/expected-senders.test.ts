import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Network, PeerId } from '../../../interface/network.ts'
import { expectedSendersMax, KiB } from '../../../limits.ts'
import type { MemoryNetwork } from '../../../net/memory-network.ts'
import { blocksOf, hashesOf, TestBlockSwarm } from '../test-blocks.ts'

/** Writes down whom a node expects bytes from. */
function expecting(expected: PeerId[]): (network: MemoryNetwork) => Network {
  return network => {
    network.expectBytes = (...peers: PeerId[]) => void expected.push(...peers)
    return network
  }
}

describe('a look-up of blocks', () => {
  it('has connections opened to those who offer some, and to nobody else', async () => {
    const swarm = new TestBlockSwarm()
    const expected: PeerId[] = []
    const [placer, holder] = await swarm.addMany(2)
    const reader = await swarm.add({ wrap: expecting(expected) })
    assert.ok(placer !== undefined && holder !== undefined)
    await swarm.settleDown()
    const blocks = blocksOf('prompt', 3, 8 * KiB)
    await swarm.find(reader, hashesOf(blocks))
    assert.deepEqual(expected, [])
    await swarm.place(placer, blocks)
    for (const name of reader.store.shardNames()) await reader.store.evict(name)
    await swarm.settleDown()
    await swarm.find(reader, hashesOf(blocks))
    assert.deepEqual(expected.toSorted(), [placer.self, holder.self].toSorted(), 'each once')
    expected.length = 0
    await swarm.place(reader, blocksOf('another', 1, 8 * KiB))
    assert.deepEqual(expected, [], 'what is placed is not fetched')
    await swarm.close()
  })

  it('expects bytes from a few only, however many offer some', async () => {
    const swarm = new TestBlockSwarm()
    const expected: PeerId[] = []
    const nodes = await swarm.addMany(7)
    const reader = await swarm.add({ wrap: expecting(expected) })
    await swarm.settleDown()
    const blocks = blocksOf('prompt', 2)
    for (const node of nodes) await swarm.place(node, blocks)
    await swarm.find(reader, hashesOf(blocks))
    assert.equal(new Set(expected).size, expectedSendersMax)
    assert.equal(expected.length, expectedSendersMax)
    await swarm.close()
  })

  it('warms the coder up for blocks that have to be decoded, and for no others', async () => {
    const swarm = new TestBlockSwarm()
    let warmUps = 0
    const nodes = await swarm.addMany(5)
    const onWarmUp = (): void => {
      warmUps += 1
    }
    const reader = await swarm.add({ onWarmUp })
    const [placer] = nodes
    assert.ok(placer !== undefined)
    await swarm.settleDown()
    const [small, large] = [blocksOf('small', 1, 8 * KiB), blocksOf('large', 2)]
    await swarm.place(placer, [...small, ...large])
    const found = async (blocks: typeof small): Promise<number> =>
      (await swarm.find(reader, hashesOf(blocks))).blocks.length
    assert.equal(await found(small), 1)
    assert.equal(await found(large), 2)
    assert.equal(warmUps, 0, 'the placer can give every part')
    swarm.kill(placer)
    await swarm.settleDown()
    assert.equal(await found(small), 1)
    assert.equal(warmUps, 0, 'one replica is enough')
    assert.equal(await found(large), 2)
    assert.equal(warmUps, 1)
    await swarm.close()
  })
})
