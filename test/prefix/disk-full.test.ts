import assert from 'node:assert/strict'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { mountTmpfs } from '../support/mount.ts'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { messagesPath } from '../swarm/questions.ts'
import { type BedNodeOptions, testBed, until } from '../swarm/test-bed.ts'
import { asked, systemText } from './long-prompt.ts'

const options: BedNodeOptions = { stateRowBytes: 2_048, prefillTokensPerSecond: 200 }
const blocks = 16

/** Fills the file system to its last byte. */
function fill(folder: string): void {
  const file = openSync(join(folder, 'ballast'), 'w')
  try {
    for (const bytes of [1_048_576, 4_096, 1]) {
      for (;;) if (writeSync(file, Buffer.alloc(bytes)) === 0) break
    }
  } catch (error) {
    assert.match(String(error), /ENOSPC/)
  } finally {
    closeSync(file)
  }
}

describe('a full disk', () => {
  it('of a node and of a holder costs no answer, and others hold what it cannot', async test => {
    const own = mountTmpfs(test, 'size=128m')
    const full = mountTmpfs(test, 'size=32m')
    if (own === undefined || full === undefined) return
    const bed = testBed(test)
    const first = await bed.start({ ...options, data: join(own.folder, 'data'), peers: [] })
    const start = (more: BedNodeOptions = {}): Promise<BedNode> =>
      bed.start({ ...options, ...more, peers: [first] })
    const starting = [
      start(),
      start({ data: join(full.folder, 'data') }),
      start(),
      start(),
    ] as const
    const [reader, holder, ...others] = await Promise.all(starting)
    const cold = await bed.start({ secret: undefined, flags: { kv: false } })
    await bed.connected([first, reader, holder, ...others])
    const check = async (node: BedNode, about: string, question: string): Promise<BedReply> => {
      const body = asked('fake', systemText(about, 80), question)
      const reply = await node.ask(messagesPath, body)
      assert.equal(reply.status, 200, reply.body)
      assert.equal(reply.text, (await cold.ask(messagesPath, body)).text)
      return reply
    }
    const held = async (node: BedNode): Promise<number> =>
      (await node.status()).prefix?.swarm?.shardsHeld ?? 0

    fill(full.folder)
    await check(first, 'a shop', 'May I return it?')
    await until(first, 'placed', (_, { prefix }) => prefix?.swarm?.placed === blocks)
    assert.equal(await held(holder), 0)
    assert.ok((await held(reader)) > 0)
    assert.equal((await check(holder, 'a school', 'Is it open?')).source, 'engine')

    // Its own: what it has is of use, what it cannot keep is computed.
    fill(own.folder)
    await check(first, 'a bank', 'Is my money safe?')
    await until(first, 'that it is full', (_, { prefix }) => {
      return prefix?.disk.readOnlyBecause !== undefined
    })
    assert.equal((await first.status()).prefix?.disk.blocks, blocks)
    const known = await check(first, 'a shop', 'When does it come?')
    assert.equal(Number(known.headers.get('x-hyperspace-saved-tokens')), blocks * 128)

    await first.kill()
    await until(reader, 'three peers', ({ peers }) => peers.length === 3)
    const fetched = await check(reader, 'a shop', 'Where is it?')
    assert.equal(fetched.source, 'prefix', fetched.headers.get('x-hyperspace-reason') ?? '')
    assert.equal(Number(fetched.headers.get('x-hyperspace-saved-tokens')), blocks * 128)
  })
})
