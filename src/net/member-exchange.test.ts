import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLog } from '../interface/log.ts'
import type { PeerId } from '../interface/network.ts'
import { peerIdOfPublicKey } from '../key/peer-id.ts'
import { TaskScope } from '../std/task-scope.ts'
import {
  decodeMembers,
  encodeAddresses,
  encodeMembers,
  type Member,
} from '../wire/member-messages.ts'
import { MemberExchange } from './member-exchange.ts'

const { signal } = new AbortController()

function peer(index: number): PeerId {
  return peerIdOfPublicKey(new Uint8Array(32).fill(index))
}

function addressOf(id: PeerId): string {
  return `/ip4/127.0.0.1/tcp/11501/p2p/${id}`
}

/** One member, whose requests are answered with `reply`. */
function createExchange(reply: () => Uint8Array = () => encodeMembers([])) {
  const connected = new Set<PeerId>()
  const told = new Map<PeerId, readonly string[]>()
  const discovered: Member[] = []
  const blamed: PeerId[] = []
  const scope = new TaskScope((_, error) => assert.fail(String(error)))
  const exchange = new MemberExchange({
    self: peer(0),
    log: silentLog,
    scope,
    request: async () => reply(),
    addresses: () => [addressOf(peer(0))],
    isConnected: id => connected.has(id),
    addressesOf: async id => told.get(id) ?? [],
    told: async member => {
      told.set(member.peer, member.addresses)
    },
    discovered: member => discovered.push(member),
    onMisbehaviour: id => blamed.push(id),
  })
  const hello = async (id: PeerId, addresses: readonly string[] = [addressOf(id)]) =>
    decodeMembers(await exchange.answer(encodeAddresses(addresses), id, { signal }))
  return { exchange, scope, connected, discovered, blamed, hello }
}

describe('MemberExchange', () => {
  it('tells who comes of those that came before, the newest first', async () => {
    const { connected, hello, exchange } = createExchange()
    for (const index of [1, 2, 3]) connected.add(peer(index))
    assert.deepEqual(await hello(peer(1)), [])
    assert.deepEqual(await hello(peer(2)), [{ peer: peer(1), addresses: [addressOf(peer(1))] }])
    assert.deepEqual(
      (await hello(peer(3))).map(member => member.peer),
      [peer(2), peer(1)],
    )
    assert.deepEqual(
      (await hello(peer(1))).map(member => member.peer),
      [peer(3), peer(2)],
    )
    connected.delete(peer(2))
    exchange.disconnected(peer(2))
    assert.deepEqual(
      (await hello(peer(3))).map(member => member.peer),
      [peer(1)],
    )
  })

  it('tells of nobody who is gone or cannot be dialled', async () => {
    const { connected, hello } = createExchange()
    for (const index of [1, 3]) connected.add(peer(index))
    await hello(peer(1), [])
    await hello(peer(2))
    assert.deepEqual(await hello(peer(3)), [])
  })

  it('passes on what it is told, but for itself', async () => {
    const members = [0, 1, 2].map(index => ({ peer: peer(index), addresses: [`/a/${index}`] }))
    const { exchange, scope, discovered } = createExchange(() =>
      encodeMembers([...members, { peer: peer(3), addresses: [] }]),
    )
    exchange.connected(peer(1))
    await scope.drain()
    assert.deepEqual(discovered, members.slice(1))
  })

  it('blames who says what nobody says', async () => {
    const { exchange, scope, blamed, discovered } = createExchange(() => Buffer.from('garbage'))
    exchange.connected(peer(1))
    await scope.drain()
    await assert.rejects(exchange.answer(Buffer.from('garbage'), peer(2), { signal }), {
      code: 'peer_message_invalid',
    })
    assert.deepEqual(blamed, [peer(1), peer(2)])
    assert.deepEqual(discovered, [])
  })
})
