import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PrefixStatus } from '../../../client/node-status.ts'
import { table } from '../../format.ts'
import { prefixPlanText, prefixRows } from './prefix-text.ts'

const tier = { blocks: 2, bytes: 2_048, bytesMax: 1_048_576 }
const alone: PrefixStatus = {
  models: [
    { name: 'tiny', state: 'on' },
    { name: 'gemma\u001b[2J', state: 'its attention is a sliding window' },
  ],
  memory: { ...tier, blocks: 1 },
  disk: { ...tier, readOnlyBecause: 'the disk is full' },
  swarm: null,
}

describe('prefixRows()', () => {
  it('is nothing where no KV state is kept', () => {
    assert.deepEqual(prefixRows(undefined), [])
  })

  it('tells the models that it is on for, and why it is off for the others', () => {
    const text = table(prefixRows(alone))
    assert.match(text, /^Prefixes +tiny: on\n +gemma\ufffd\[2J: off, because its attention is/)
    assert.match(text, /KV in memory +1 block, 2\.0 KB of 1\.0 MB\n/)
    assert.match(text, /KV on disk +2 blocks, .*, NOT STORING: the disk is full\n/)
    assert.doesNotMatch(text, /KV in swarm/)
  })

  it('tells what peers hold, and what is held for them', () => {
    const counts = { placed: 1, placing: 3, shardsHeld: 5, shardBytes: 10, shardBytesMax: 1_024 }
    const text = table(prefixRows({ ...alone, swarm: counts }))
    const held = '1 block placed, 3 on their way; 5 shards held for peers, 10 B of 1.0 KB\n'
    assert.ok(text.endsWith(`KV in swarm   ${held}`), text)
    assert.match(table(prefixRows({ ...alone, swarm: { ...counts, placing: 0 } })), /placed; 5/)
  })
})

describe('prefixPlanText()', () => {
  const plan = {
    localBlocks: 4,
    peerBlocks: 1,
    predictedMs: 120,
    withoutMs: 1_500,
    fetchMs: 20,
    reason: 'it is faster',
  }
  const known = { residentTokens: 0, localBlocks: 4, diskBlocks: 3, peerBlocks: 2 }
  const explained = { isOn: true, promptTokens: 1_234, wholeBlocks: 9, ...known, plan } as const

  it('tells what there is, what is done and why', () => {
    assert.equal(
      prefixPlanText(explained),
      '1,234 tokens, 9 whole blocks of KV state\n' +
        'the engine holds 0 tokens, this node 4 blocks (3 on disk), peers 2 more\n' +
        'it would begin with 4 blocks of this node and 1 block of peers: ' +
        'first token after 120 ms, 1.5 s without\n' +
        'because it is faster',
    )
    const cold = { ...plan, localBlocks: 0, peerBlocks: 0 }
    const text = prefixPlanText({ ...explained, plan: cold })
    assert.match(text, /it would begin with nothing: first token after 120 ms\nbecause/)
    const resident = prefixPlanText({ ...explained, residentTokens: 256, plan: cold })
    assert.match(resident, /the engine holds 256 tokens, .*\nit would begin with what the engine/)
  })

  it('tells why there is none', () => {
    assert.equal(prefixPlanText({ isOn: false, reason: 'a\u001bb' }), 'off: a\ufffdb')
  })
})
