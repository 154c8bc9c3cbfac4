import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, it, type TestContext } from 'node:test'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import type { Directory } from './directory.ts'
import type { Network, PeerId } from './network.ts'

export interface DirectoryNode {
  readonly network: Network
  readonly directory: Directory
}

/**
 * Where the nodes of one test live. Announce intervals and grace times there should be short, where
 * time is real.
 */
export interface DirectoryWorld {
  /** Started nodes, connected to all others. */
  grow(count: number): Promise<readonly DirectoryNode[]>
  /** Waits for a promise; a simulated world lets time pass until it settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  /** Lets a moment pass, about as long as an announce interval. */
  pass(): Promise<void>
  /** Ends a node without a word. */
  kill(node: DirectoryNode): Promise<void>
  /** From now on a node stays connected and does not answer. Where the world can do that. */
  freeze?(nodes: readonly DirectoryNode[]): void
  /** Cuts nodes off from all others, and joins them again. Where the world can do that. */
  partition?(nodes: readonly DirectoryNode[]): void
  heal?(): void
  close(): Promise<void>
}

export interface DirectoryComplianceOptions {
  /** Members of the swarm in which a third is killed. */
  readonly members: number
  readonly keys: number
}

const signal = new AbortController().signal
const deadlineMs = 2_000
/** Moments until which everything must have settled. */
const momentsMax = 400

/** The contract of `Directory`, in code. */
export function directoryCompliance(
  name: string,
  createWorld: () => Promise<DirectoryWorld>,
  options: DirectoryComplianceOptions,
): void {
  describe(`${name} as a directory`, () => {
    let world: DirectoryWorld | undefined
    const current = (): DirectoryWorld => {
      assert.ok(world)
      return world
    }
    beforeEach(async () => {
      world = await createWorld()
    })
    afterEach(async () => {
      await world?.close()
    })

    for (const members of [3, 12]) {
      describe(`of ${members} members`, () => {
        telling(current, members)
        asking(current, members)
      })
    }
    batching(current)
    changing(current)
    failing(current)
    enduring(current, options)
  })
}

type World = () => DirectoryWorld

function telling(world: World, members: number): void {
  it('what one adds, every other finds, and not itself', async () => {
    const nodes = await world().grow(members)
    const [provider, ...others] = nodes
    assert.ok(provider)
    const keys = testKeys('added', 20)
    provider.directory.add(keys)
    assert.equal(provider.directory.stats().provided, 20)
    for (const node of others) {
      await eventuallyFinds(world(), node, keys, [provider])
    }
    assert.deepEqual(await find(world(), provider, keys[0]), [])
  })

  it('finds all providers of a key, without repeats', async () => {
    const nodes = await world().grow(members)
    const [asker, ...providers] = nodes
    assert.ok(asker)
    const keys = testKeys('popular', 3)
    for (const { directory } of nodes) directory.add(keys)
    for (const { directory } of nodes) directory.add(keys)
    await eventuallyFinds(world(), asker, keys, providers)
  })

  it('what one removes is not found any more, and may be added again', async () => {
    const [provider, asker] = await world().grow(members)
    assert.ok(provider && asker)
    const [kept, removed] = testKeys('removed', 2)
    assert.ok(kept && removed)
    provider.directory.add([kept, removed])
    await eventuallyFinds(world(), asker, [kept, removed], [provider])
    provider.directory.remove([removed])
    await eventuallyFinds(world(), asker, [removed], [])
    await eventuallyFinds(world(), asker, [kept], [provider])
    provider.directory.add([removed])
    await eventuallyFinds(world(), asker, [removed], [provider])
    assert.equal(provider.directory.stats().provided, 2)
  })
}

function asking(world: World, members: number): void {
  it('a key that nobody has ends without anybody, again and again', async () => {
    const [asker] = await world().grow(members)
    assert.ok(asker)
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await find(world(), asker, testKeys('nobody', 1)[0]), [])
    }
  })

  it('a signal that fires ends the look-up with its reason', async () => {
    const [asker] = await world().grow(members)
    assert.ok(asker)
    const [key] = testKeys('aborted', 1)
    assert.ok(key)
    const controller = new AbortController()
    const reading = collect(asker.directory, key, controller.signal)
    controller.abort(new DOMException('not wanted', 'AbortError'))
    await assert.rejects(world().settle(reading), { message: 'not wanted' })
    await assert.rejects(world().settle(collect(asker.directory, key, AbortSignal.abort())), {
      name: 'AbortError',
    })
  })

  it('whoever has found enough may stop', async () => {
    const [asker, ...providers] = await world().grow(members)
    assert.ok(asker)
    const keys = testKeys('enough', 1)
    for (const { directory } of providers) directory.add(keys)
    await eventuallyFinds(world(), asker, keys, providers)
    const first = async (): Promise<PeerId | undefined> => {
      for await (const peer of asker.directory.find(keys[0] ?? fail(), { signal, deadlineMs })) {
        return peer
      }
      return undefined
    }
    assert.ok(await world().settle(first()))
  })
}

function batching(world: World): void {
  it('a thousand keys cost a few messages', async () => {
    const nodes = await world().grow(16)
    const [provider, asker] = nodes
    assert.ok(provider && asker)
    // What it takes to get to know each other does not count.
    provider.directory.add(testKeys('first', 1))
    await eventuallyFinds(world(), asker, testKeys('first', 1), [provider])
    for (let moment = 0; moment < 5; moment++) await world().pass()
    const before = messagesSent(nodes)
    const keys = testKeys('many', 1_000)
    provider.directory.add(keys)
    for (let moment = 0; moment < 5; moment++) await world().pass()
    const announced = messagesSent(nodes) - before
    assert.ok(announced <= 15, `${announced} messages told owners of 1,000 keys`)
    const finds = keys.map(key => collect(asker.directory, key, signal))
    const found = await world().settle(Promise.all(finds))
    assert.deepEqual(new Set(found.map(peers => peers.join())), new Set([provider.network.self]))
    const asked = messagesSent(nodes) - before - announced
    assert.ok(asked <= 15, `${asked} messages asked for 1,000 keys at once`)
  })

  it('a quiet swarm sends nothing', async () => {
    const nodes = await world().grow(12)
    for (const [index, { directory }] of nodes.entries()) directory.add(testKeys(`of ${index}`, 10))
    for (let moment = 0; moment < 10; moment++) await world().pass()
    const before = messagesSent(nodes)
    for (let moment = 0; moment < 10; moment++) await world().pass()
    assert.equal(messagesSent(nodes), before)
  })
}

function changing(world: World): void {
  it('members that join find what was there, and the swarm what they bring', async () => {
    const nodes = [...(await world().grow(2))]
    const [provider] = nodes
    assert.ok(provider)
    const keys = testKeys('early', 50)
    provider.directory.add(keys)
    for (let round = 0; round < 5; round++) {
      const joined = await world().grow(4)
      nodes.push(...joined)
      const [newcomer] = joined
      assert.ok(newcomer)
      await eventuallyFinds(world(), newcomer, keys, [provider])
      const brought = testKeys(`brought in round ${round}`, 20)
      newcomer.directory.add(brought)
      for (const node of nodes.filter(node => node !== newcomer)) {
        await eventuallyFinds(world(), node, brought, [newcomer])
      }
    }
  })

  it('a swarm that shrinks step by step loses nothing of those that stay', async () => {
    const nodes = [...(await world().grow(14))]
    const [provider, asker] = nodes
    assert.ok(provider && asker)
    const keys = testKeys('steady', 50)
    provider.directory.add(keys)
    await eventuallyFinds(world(), asker, keys, [provider])
    while (nodes.length > 2) {
      const [gone] = nodes.splice(2, 1)
      assert.ok(gone)
      await world().kill(gone)
      await eventuallyFinds(world(), asker, keys, [provider])
    }
  })

  it('records vanish with their provider', async () => {
    const [provider, asker, ...others] = await world().grow(12)
    assert.ok(provider && asker)
    const keys = testKeys('short-lived', 20)
    provider.directory.add(keys)
    await eventuallyFinds(world(), asker, keys, [provider])
    await world().kill(provider)
    await eventuallyFinds(world(), asker, keys, [])
    await eventually(world(), 'owners forget', async () =>
      [asker, ...others].every(({ directory }) => directory.stats().owned === 0),
    )
  })
}

function failing(world: World): void {
  it('ends at the deadline when nobody answers', async context => {
    const { freeze } = world()
    if (freeze === undefined) return skip(context, 'this world cannot freeze nodes')
    const [asker, ...others] = await world().grow(12)
    assert.ok(asker)
    freeze(others)
    assert.deepEqual(await find(world(), asker, testKeys('frozen', 1)[0]), [])
  })

  it('finds through the owners that answer while others are frozen', async context => {
    const { freeze } = world()
    if (freeze === undefined) return skip(context, 'this world cannot freeze nodes')
    const nodes = await world().grow(12)
    const [provider, asker, frozen] = nodes
    assert.ok(provider && asker && frozen)
    const keys = testKeys('half', 100)
    provider.directory.add(keys)
    await eventuallyFinds(world(), asker, keys, [provider])
    freeze([frozen])
    for (const key of keys) {
      assert.deepEqual(await find(world(), asker, key), [provider.network.self])
    }
  })

  it('a partition that heals leaves every key found', async context => {
    const { partition, heal } = world()
    if (partition === undefined || heal === undefined) {
      return skip(context, 'this world cannot part nodes')
    }
    const nodes = await world().grow(20)
    const sides = [nodes.slice(0, 10), nodes.slice(10)] as const
    for (const [index, { directory }] of nodes.entries()) directory.add(testKeys(`of ${index}`, 5))
    partition(sides[1])
    for (let moment = 0; moment < 60; moment++) await world().pass()
    for (const [index, { directory }] of nodes.entries()) {
      directory.remove(testKeys(`of ${index}`, 1))
      directory.add(testKeys(`later of ${index}`, 5))
    }
    for (let moment = 0; moment < 5; moment++) await world().pass()
    heal()
    await eventually(world(), 'all meet again', async () =>
      nodes.every(({ network }) => network.peers().length === nodes.length - 1),
    )
    for (const [index, provider] of nodes.entries()) {
      const asker = nodes[(index + 10) % nodes.length] ?? fail()
      const [removed, ...kept] = testKeys(`of ${index}`, 5)
      const keys = [...kept, ...testKeys(`later of ${index}`, 5)]
      await eventuallyFinds(world(), asker, keys, [provider])
      await eventuallyFinds(world(), asker, [removed ?? fail()], [])
    }
  })
}

function enduring(world: World, options: DirectoryComplianceOptions): void {
  it(`of ${options.keys} keys, all are found before and after a third is killed`, async () => {
    const nodes = await world().grow(options.members)
    const keys = testKeys('enduring', options.keys)
    const providersOf = (index: number): readonly DirectoryNode[] => [
      nodes[index % nodes.length] ?? fail(),
      nodes[(index * 7 + 3) % nodes.length] ?? fail(),
    ]
    for (const [index, key] of keys.entries()) {
      for (const { directory } of providersOf(index)) directory.add([key])
    }
    const killedCount = Math.ceil(nodes.length * 0.3)
    const [alive, killed] = [nodes.slice(killedCount), nodes.slice(0, killedCount)]
    const check = async (present: readonly DirectoryNode[]): Promise<void> => {
      for (const [index, key] of keys.entries()) {
        const providers = providersOf(index).filter(node => present.includes(node))
        const others = present.filter(node => !providers.includes(node))
        const asker = others[(index * 13) % others.length] ?? fail()
        await eventuallyFinds(world(), asker, [key], [...new Set(providers)])
      }
    }
    await check(nodes)
    for (const node of killed) await world().kill(node)
    await check(alive)
  })
}

/** Look-up keys made of a name and a number. */
export function testKeys(name: string, count: number): readonly LookupKey[] {
  return Array.from({ length: count }, (_, index) => {
    const digest = createHash('sha256').update(`${name} ${index}`).digest('hex')
    return parseLookupKey(digest) ?? fail()
  })
}

async function find(
  world: DirectoryWorld,
  { directory }: DirectoryNode,
  key: LookupKey | undefined,
): Promise<readonly PeerId[]> {
  return await world.settle(collect(directory, key ?? fail(), signal))
}

async function collect(
  directory: Directory,
  key: LookupKey,
  until: AbortSignal,
): Promise<readonly PeerId[]> {
  const peers: PeerId[] = []
  for await (const peer of directory.find(key, { signal: until, deadlineMs })) peers.push(peer)
  return peers
}

/** Waits until the look-up of each key ends with exactly these providers. */
async function eventuallyFinds(
  world: DirectoryWorld,
  asker: DirectoryNode,
  keys: readonly LookupKey[],
  providers: readonly DirectoryNode[],
): Promise<void> {
  const expected = providers.map(({ network }) => network.self).sort()
  await eventually(world, `${expected.length} providers are found`, async () => {
    const found = await world.settle(
      Promise.all(keys.map(key => collect(asker.directory, key, signal))),
    )
    return found.every(peers => [...peers].sort().join() === expected.join())
  })
}

async function eventually(
  world: DirectoryWorld,
  what: string,
  check: () => Promise<boolean>,
): Promise<void> {
  for (let moment = 0; moment < momentsMax; moment++) {
    if (await check()) return
    await world.pass()
  }
  assert.fail(`It never came true that ${what}`)
}

function messagesSent(nodes: readonly DirectoryNode[]): number {
  return nodes.reduce((sum, { directory }) => sum + directory.stats().messagesSent, 0)
}

function skip(context: TestContext, why: string): void {
  context.skip(why)
}

function fail(): never {
  throw new assert.AssertionError({ message: 'there is none' })
}
