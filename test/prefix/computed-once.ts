import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { NodeStatus } from '../../src/client/node-status.ts'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { messagesPath } from '../swarm/questions.ts'
import { testBed, until } from '../swarm/test-bed.ts'
import { asked, systemText, systemTextOf } from './long-prompt.ts'

export interface Subject {
  /** A model. */
  readonly file: string
  /**
   * Slower than what is assumed of an engine that has computed nothing: the second node finds that
   * out before. It would not wait long for the demo model's blocks, which are computed in no time.
   */
  readonly isSlow: boolean
}

const tokens = 2_000
/** What a prompt of 2,000 tokens has in whole blocks, but for the last. */
const savedTokensMin = 1_792
const questions = ['I lost my card.', 'I forgot my password.'] as const

/**
 * Issue 4, "Done when" 1. Two of the five have the model; the others hold shards of what they could
 * not compute.
 */
export async function computedOnce(test: TestContext, subject: Subject): Promise<void> {
  const { file, isSlow } = subject
  const bed = testBed(test)
  const flags = { model: [file], context: '4096', parallel: '2', threads: '1' }
  const first = await bed.start({ engine: 'demo', flags })
  const [second, holders] = await Promise.all([
    bed.start({ engine: 'demo', peers: [first], flags }),
    bed.startMany(3, { peers: [first] }),
  ])
  const others = [second, ...holders]
  await bed.connected([first, ...others])
  const model = (await first.status()).models[0]?.name ?? ''
  const system = await systemTextOf(first, model, tokens, 'a shop')
  if (isSlow) await second.ask(messagesPath, asked(model, systemText('a bank', 12), 'And that?'))
  const ask = (node: BedNode, question: string, headers = {}): Promise<BedReply> =>
    node.ask(messagesPath, asked(model, system, question), headers)

  const computed = await ask(first, 'Where is my parcel?')
  assert.equal(computed.source, 'engine', computed.body)
  const blocks = Math.floor(tokens / 128)
  await untilPrefix(first, `${blocks} placed`, ({ swarm }) => (swarm?.placed ?? 0) >= blocks)

  // Another question after a restart: from its disk.
  await first.stop()
  const again = await bed.restart(first, { engine: 'demo', peers: others, flags })
  const onDisk = await ask(again, questions[0])
  expectPrefix(onDisk)
  assert.match(reasonOf(onDisk), /disk/)

  // And on a second node, when the first is no more: from what the others hold of it.
  await bed.connected([again, ...others])
  await again.kill()
  await until(second, 'end of the first', ({ peers }) => peers.length === 3)
  const fetched = await ask(second, questions[1])
  expectPrefix(fetched)
  assert.match(reasonOf(fetched), /fetching/)

  // Each question as another client of a node in no swarm, which keeps nothing: of one client's
  // prompts nothing is used for another's.
  const apiKey = questions.map(coldKey)
  const cold = await bed.start({
    engine: 'demo',
    secret: undefined,
    flags: { ...flags, parallel: '1', kv: false, apiKey },
  })
  for (const [index, warm] of [onDisk, fetched].entries()) {
    const question = questions[index] ?? ''
    const right = await ask(cold, question, { 'x-api-key': coldKey(question) })
    assert.equal(right.headers.get('x-hyperspace-saved-tokens'), '0')
    assert.ok(right.text.length > 0)
    assert.equal(warm.text, right.text, question)
  }
}

function coldKey(question: string): string {
  return `key-${question.replaceAll(/\W/g, '')}`
}

function expectPrefix(reply: BedReply): void {
  assert.equal(reply.source, 'prefix', `${reasonOf(reply)} ${reply.body}`)
  const saved = Number(reply.headers.get('x-hyperspace-saved-tokens'))
  assert.ok(saved >= savedTokensMin, `${saved} tokens saved: ${reasonOf(reply)}`)
}

function reasonOf(reply: BedReply): string {
  return reply.headers.get('x-hyperspace-reason') ?? ''
}

/** Waits until something is true of what a node keeps of its prompts. */
async function untilPrefix(
  node: BedNode,
  what: string,
  isTrue: (prefix: NonNullable<NodeStatus['prefix']>) => boolean,
): Promise<void> {
  await until(node, what, (_, { prefix }) => prefix !== undefined && isTrue(prefix))
}
