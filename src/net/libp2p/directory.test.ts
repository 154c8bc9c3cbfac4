import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { testKeys } from '../../interface/directory.compliance.ts'
import { silentLog } from '../../interface/log.ts'
import type { PeerId } from '../../interface/network.ts'
import { multihashOfPeerId } from '../../key/peer-id.ts'
import { systemClock } from '../../std/clock.ts'
import { nextTurn } from '../../std/turn.ts'
import { RendezvousDirectory } from '../directory/rendezvous-directory.ts'
import type { Libp2pNetwork } from './libp2p-network.ts'
import { addressOf, peerChanged, started, testNetwork } from './test-nodes.ts'

const { signal } = new AbortController()

describe('a directory over libp2p', () => {
  it('of six nodes that dial one or two others finds every key', async context => {
    const networks: Libp2pNetwork[] = []
    const directories: RendezvousDirectory[] = []
    for (let index = 0; index < 6; index++) {
      const dialled = networks.slice(-2, index % 2 === 0 ? undefined : -1)
      const network = testNetwork({ peers: dialled.map(addressOf), meshPeers: 0 })
      const directory = new RendezvousDirectory(
        { network, clock: systemClock, log: silentLog, discovery: network.discovery },
        { announceIntervalMs: 50, negativeMs: 0, surveyIntervalMs: 2_000, membersMax: 2 },
      )
      await started(context, network)
      context.after(() => directory.stop())
      await directory.start()
      for (const { self } of dialled) await peerChanged(network, 'connected', self)
      networks.push(network)
      directories.push(directory)
    }
    const keysOf = (index: number) => testKeys(`of ${index}`, 20)
    for (const [index, directory] of directories.entries()) directory.add(keysOf(index))
    for (const asker of directories) {
      for (const [index, { self }] of networks.entries()) {
        if (directories[index] === asker) continue
        for (const key of keysOf(index)) {
          await eventually(async () => {
            const found = await Array.fromAsync(asker.find(key, { signal, deadlineMs: 2_000 }))
            return found.includes(self)
          }, context.signal)
        }
      }
    }
  })

  it('names members in the order in which the directory takes them for near', async context => {
    const hub = testNetwork()
    await started(context, hub)
    const others = Array.from({ length: 5 }, () => testNetwork({ peers: [addressOf(hub)] }))
    await started(context, ...others)
    for (const { self } of others) await peerChanged(hub, 'connected', self)
    const key = createHash('sha256').update('a key').digest()
    const place = createHash('sha256').update(key).digest()
    const distance = (peer: PeerId): Uint8Array => {
      const digest = createHash('sha256').update(multihashOfPeerId(peer)).digest()
      return digest.map((byte, index) => byte ^ (place[index] ?? 0))
    }
    const sorted = others
      .map(({ self }) => self)
      .toSorted((a, b) => Buffer.compare(distance(a), distance(b)))
    await eventually(async () => {
      const named = await Array.fromAsync(hub.discovery.closestPeers(key, { signal }))
      if (named.length === sorted.length) assert.deepEqual(named, sorted)
      return named.length === sorted.length
    }, context.signal)
  })

  it('reaches a member of which it knows only the name', async context => {
    const hub = testNetwork()
    await started(context, hub)
    const peers = [addressOf(hub)]
    const [asker, member] = [
      testNetwork({ peers, meshPeers: 0 }),
      testNetwork({ peers, meshPeers: 0 }),
    ]
    await started(context, asker, member)
    for (const { self } of [asker, member]) await peerChanged(hub, 'connected', self)
    await eventually(
      () =>
        asker.discovery.reach(member.self, { signal }).then(
          () => true,
          () => false,
        ),
      context.signal,
    )
    assert.ok(asker.peers().some(({ id }) => id === member.self))
    const nobody = testNetwork()
    await assert.rejects(asker.discovery.reach(nobody.self, { signal }), {
      code: 'peer_unreachable',
    })
  })
})

/** The hash table learns of members some time after they have connected, and tells nobody. */
async function eventually(isTrue: () => Promise<boolean>, until: AbortSignal): Promise<void> {
  while (!(await isTrue())) {
    until.throwIfAborted()
    await nextTurn()
  }
}
