import assert from 'node:assert/strict'
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { messagesPath } from '../swarm/questions.ts'
import { type BedNodeOptions, testBed, until } from '../swarm/test-bed.ts'
import { asked, systemText } from './long-prompt.ts'
import { metricOf } from './metrics-of.ts'

/**
 * Blocks of 1 MiB, which a swarm of five codes as four shards of which two do: the reader has one
 * of them, and three others have the rest. The engine says that it is slow, so that fetching pays.
 */
const nodeOptions: BedNodeOptions = { stateRowBytes: 2_048, prefillTokensPerSecond: 200 }
const parityShards = 2
const blocks = 16
const savedTokens = blocks * 128
const question = 'Where is my parcel?'

interface Stage {
  readonly reader: BedNode
  readonly holders: readonly [BedNode, BedNode, BedNode]
  /** Does what an engine does that begins from nothing. */
  readonly cold: BedNode
}

/** System texts are placed; who has computed them is no more. */
async function placed(test: TestContext, ...texts: readonly string[]): Promise<Stage> {
  const bed = testBed(test)
  const placer = await bed.start(nodeOptions)
  const start = (): Promise<BedNode> => bed.start({ ...nodeOptions, peers: [placer] })
  const starting = [start(), start(), start(), start()] as const
  const [reader, ...holders] = await Promise.all(starting)
  await bed.connected([placer, reader, ...holders])
  for (const text of texts) {
    const first = await placer.ask(messagesPath, asked('fake', text, 'May I return it?'))
    assert.equal(first.source, 'engine', first.body)
  }
  const count = texts.length * blocks
  await until(placer, `${count} placed`, (_, { prefix }) => {
    const { placed: done = 0, placing = 1 } = prefix?.swarm ?? {}
    return done === count && placing === 0
  })
  await placer.kill()
  for (const node of [reader, ...holders]) {
    await until(node, 'the end of the placer', ({ peers }) => peers.length === holders.length)
    const { swarm } = (await node.status()).prefix ?? {}
    assert.equal(swarm?.shardsHeld, count, 'each holds one shard of each block')
  }
  const cold = await bed.start({ secret: undefined, flags: { kv: false } })
  return { reader, holders, cold }
}

async function coldText(cold: BedNode, text: string): Promise<string> {
  const reply = await cold.ask(messagesPath, asked('fake', text, question))
  assert.equal(savedTokensOf(reply), 0)
  return reply.text
}

function savedTokensOf({ headers }: BedReply): number {
  return Number(headers.get('x-hyperspace-saved-tokens'))
}

/** Asks while some holders are killed in the middle of the fetch. */
async function askAndKill(
  reader: BedNode,
  text: string,
  victims: readonly BedNode[],
): Promise<BedReply> {
  const received = (): Promise<number> =>
    metricOf(reader, 'kv_shards_received_total{result="valid"}')
  const before = await received()
  const asking = reader.ask(messagesPath, asked('fake', text, question))
  while ((await received()) < before + 3) assert.equal(await isRunning(reader), true)
  // First all at once stand still: then they are killed at one moment of the fetch.
  for (const victim of victims) victim.freeze()
  assert.equal(await isRunning(reader), true, 'the fetch is not at its end')
  await Promise.all(victims.map(victim => victim.kill()))
  return await asking
}

async function isRunning(node: BedNode): Promise<boolean> {
  return (await node.status()).requestsRunning > 0
}

function reasonOf({ headers }: BedReply): string {
  return headers.get('x-hyperspace-reason') ?? ''
}

/** Flips a bit in the middle of each shard on a node's disk. */
function damageShards({ data }: BedNode): void {
  const files = readdirSync(join(data, 'kv-shared'), { recursive: true })
    .map(name => join(data, 'kv-shared', String(name)))
    .filter(path => statSync(path).isFile() && statSync(path).size > 65_536)
  assert.ok(files.length >= blocks)
  for (const path of files) {
    const file = openSync(path, 'r+')
    const at = statSync(path).size >> 1
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, at)
    closeSync(file)
  }
}

describe('a fetch of what others hold', () => {
  it('goes on when as many are killed as there is parity; with fewer the rest is computed', async test => {
    const [some, other] = [systemText('a shop', 80), systemText('a bank', 80)]
    const { reader, holders, cold } = await placed(test, some, other)
    const whole = await askAndKill(reader, some, holders.slice(0, parityShards))
    assert.equal(whole.text, await coldText(cold, some))
    assert.equal(whole.source, 'prefix', reasonOf(whole))
    assert.equal(savedTokensOf(whole), savedTokens)

    // Now the reader and the last one have just enough.
    const part = await askAndKill(reader, other, holders.slice(parityShards))
    assert.equal(part.status, 200, part.body)
    assert.equal(part.text, await coldText(cold, other))
    assert.match(reasonOf(part), /peers gave \d+ of 16 blocks|the fetch was given up after/)
    assert.ok(savedTokensOf(part) < savedTokens)
  })

  it('takes no shard of which one bit is another', async test => {
    const texts = ['a shop', 'a bank', 'a mill'].map(what => systemText(what, 80))
    const { reader, holders, cold } = await placed(test, ...texts)
    const damaged = holders.slice(0, parityShards)
    for (const holder of damaged) damageShards(holder)
    const wrong = (): Promise<number> =>
      metricOf(reader, 'kv_shards_received_total{result="wrong"}')
    // The reader may happen to ask the one who has right ones, and nobody else.
    for (const text of texts) {
      if ((await wrong()) > 0) break
      const reply = await reader.ask(messagesPath, asked('fake', text, question))
      assert.equal(reply.text, await coldText(cold, text))
      assert.equal(savedTokensOf(reply), savedTokens, reasonOf(reply))
    }
    assert.ok((await wrong()) > 0)
    const { peers } = await reader.swarm()
    const blamed = peers.filter(({ reputation }) => reputation < 0).map(({ id }) => id)
    assert.ok(blamed.length > 0)
    assert.ok(blamed.every(id => damaged.some(({ peerId }) => peerId === id)))
  })
})
