import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { messagesPath } from '../swarm/questions.ts'
import { type BedNodeOptions, testBed, until } from '../swarm/test-bed.ts'
import { asked, systemText } from './long-prompt.ts'

/** Blocks of 1 MiB, each coded as four shards of which two do, and an engine said to be slow. */
const options: BedNodeOptions = { stateRowBytes: 2_048, prefillTokensPerSecond: 200 }
const blocks = 16

async function shardsHeld(node: BedNode): Promise<number> {
  return (await node.status()).prefix?.swarm?.shardsHeld ?? 0
}

describe('kill -9 while blocks are placed', () => {
  it('of who places them and of who holds them', async test => {
    const bed = testBed(test)
    const first = await bed.start(options)
    const start = (): Promise<BedNode> => bed.start({ ...options, peers: [first] })
    const starting = [start(), start(), start(), start()] as const
    const [reader, holder, ...others] = await Promise.all(starting)
    const cold = await bed.start({ secret: undefined, flags: { kv: false } })
    let placer = first
    await bed.connected([placer, reader, holder, ...others])
    const ask = (node: BedNode, text: string, question: string): Promise<BedReply> =>
      node.ask(messagesPath, asked('fake', text, question))
    const check = async (node: BedNode, text: string, question: string): Promise<BedReply> => {
      const reply = await ask(node, text, question)
      assert.equal(reply.status, 200, reply.body)
      assert.equal(reply.text, (await ask(cold, text, question)).text)
      return reply
    }
    const placing = async (text: string, shards: number): Promise<void> => {
      const before = await shardsHeld(holder)
      await check(placer, text, 'May I return it?')
      await until(holder, `${shards} shards`, (_, { prefix }) => {
        return (prefix?.swarm?.shardsHeld ?? 0) >= before + shards
      })
    }

    const texts = ['a shop', 'a bank'].map(about => systemText(about, 80))
    for (const [turn, text] of texts.entries()) {
      await placing(text, 1 + turn * 6)
      await placer.kill()
      const peers = [reader, holder, ...others]
      placer = await bed.restart(placer, { ...options, peers })
      await bed.connected([placer, ...peers])
      const reply = await check(placer, text, 'When does it come?')
      assert.match(reply.headers.get('x-hyperspace-reason') ?? '', /resident|disk|memory|fetching/)
      // What was on its way is placed after all.
      await until(placer, 'placed', (_, { prefix }) => {
        const { placed = 0, placing: left = 1 } = prefix?.swarm ?? {}
        return placed >= (turn + 1) * blocks && left === 0
      })
    }

    const third = systemText('a school', 80)
    await placing(third, 1)
    await holder.kill()
    await until(placer, 'nothing on its way', (_, { prefix }) => prefix?.swarm?.placing === 0)
    await placer.kill()
    await until(reader, 'two peers', ({ peers }) => peers.length === 2)
    for (const text of [...texts, third]) await check(reader, text, 'Where is it?')
    const fetched = await check(reader, texts[0] ?? '', 'How much is it?')
    assert.equal(Number(fetched.headers.get('x-hyperspace-saved-tokens')), blocks * 128)
  })
})
