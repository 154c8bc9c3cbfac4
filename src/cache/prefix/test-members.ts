import assert from 'node:assert/strict'
import { type LogFields, silentLog } from '../../interface/log.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { type PeerId, peerIdOfPublicKey } from '../../key/peer-id.ts'
import { parseLookupKey } from '../../key/response-key.ts'
import { type Scope, swarmScope } from '../../key/scope.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { Reputation } from '../../trust/reputation.ts'
import { question } from '../test-cache.ts'
import { longText, type TestAnswer, TestPrefix, type TestPrefixOptions } from './test-prefix.ts'
import { type PlacedBlocks, TestSwarmBlocks } from './test-swarm-blocks.ts'
import { decodeNote } from './tiers/block-note.ts'

export const swarmTestScope: Scope = swarmScope(new Uint8Array(32).fill(3))
export const teamText: string = longText(2_000, 'A system text of the team')

export function request(user: string, system: string = teamText): CompletionRequest {
  return question(user, {
    messages: [
      { role: 'system', content: [{ type: 'text', text: system }] },
      { role: 'user', content: [{ type: 'text', text: user }] },
    ],
  })
}

export interface Member {
  readonly self: PeerId
  readonly node: TestPrefix
  readonly swarm: TestSwarmBlocks
  readonly reputation: Reputation
  readonly warnings: LogFields[]
  ask(user: string, system?: string): Promise<TestAnswer>
}

/** The prefix caches of a swarm whose network does what a test says. */
export class TestMembers {
  readonly clock: SimulatedClock = new SimulatedClock()
  readonly placed: PlacedBlocks = new Map()
  #members = 0

  async add(options: TestPrefixOptions = {}): Promise<Member> {
    this.#members += 1
    const self = peerIdOfPublicKey(new Uint8Array(32).fill(this.#members))
    const swarm = new TestSwarmBlocks(this.placed, self, this.clock)
    const reputation = new Reputation(this.clock)
    const warnings: LogFields[] = []
    const log = {
      ...silentLog,
      warn: (event: string, fields?: LogFields) => void warnings.push({ event, ...fields }),
    }
    const scope = swarmTestScope
    const node = await TestPrefix.start({
      clock: this.clock,
      seed: this.#members,
      swarmOf: asked => (asked === scope ? { blocks: swarm, reputation } : undefined),
      log,
      ...options,
    })
    const ask = (user: string, system?: string): Promise<TestAnswer> =>
      node.ask(request(user, system), { scope })
    return { self, node, swarm, reputation, warnings, ask }
  }

  /** Two members: one has computed the text and placed it, the other knows nothing. */
  async pair(options: TestPrefixOptions = {}): Promise<readonly [Member, Member]> {
    const a = await this.add()
    await a.ask('one')
    await a.node.settled()
    return [a, await this.add(options)]
  }

  /** From now on those blocks, by their place in the order of placing, are said to be of a peer. */
  attribute(issuer: PeerId, includes: (position: number) => boolean): void {
    for (const [position, [hash, placed]] of [...this.placed].entries()) {
      if (includes(position)) this.placed.set(hash, { ...placed, issuer })
    }
  }
}

/** Nothing is audited while the engine seems busy, until what this returns is called. */
export function keepBusy({ node: { engine } }: Member): () => void {
  const load = engine.load.bind(engine)
  engine.load = () => ({ ...load(), running: 1 })
  return () => {
    engine.load = load
  }
}

export async function coldText(user: string): Promise<string> {
  return (await (await TestPrefix.start()).ask(request(user))).text
}

/** Indices, in their prompts, of the blocks that members of the swarm would be given. */
export function servableOf({ node: { cache, store } }: Member): readonly number[] {
  const { swarm } = swarmTestScope
  assert.ok(swarm !== undefined)
  const { has } = cache.servableTo(swarm)
  const servable = [...store.list()].filter(({ name }) => {
    const key = parseLookupKey(name)
    return key !== undefined && has(key)
  })
  return servable.map(({ note }) => decodeNote(note)?.index ?? -1).toSorted((a, b) => a - b)
}

/**
 * Places what an honest member would, but off by a little in every number of some blocks, and
 * finite: sealed as rightly as the true ones.
 */
export async function liarOf(
  members: TestMembers,
  about = 'A system text of the team',
  isWrong: (index: number) => boolean = () => true,
): Promise<Member> {
  const liar = await members.add()
  const [model] = liar.node.engine.models()
  assert.ok(model !== undefined)
  const generate = model.generate.bind(model)
  model.generate = (asked, { prefix, ...options }) => {
    if (prefix?.keep === undefined)
      return generate(asked, { ...options, ...(prefix && { prefix }) })
    const { keep } = prefix
    const take: typeof keep.take = (index, rows) => {
      const wrong = rows.map((byte, at) => (at % 2 === 0 ? byte : byte ^ 0x04))
      keep.take(index, isWrong(index) ? wrong : rows)
    }
    return generate(asked, { ...options, prefix: { ...prefix, keep: { ...keep, take } } })
  }
  await liar.ask('one', longText(2_000, about))
  await liar.node.settled()
  return liar
}
