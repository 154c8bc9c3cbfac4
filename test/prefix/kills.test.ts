import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { childOf, gone } from '../support/processes.ts'
import type { BedNode, BedReply } from '../swarm/bed-node.ts'
import { type TestBed, testBed, until } from '../swarm/test-bed.ts'
import { bodyOf, ColdEngine, completionsPath } from './cold-engine.ts'

const memory = '/dev/shm'
const maxTokens = 8
const blocks = 6
const promptTokens = blocks * 128 + 20
/** Slow, so that what is kept is used. */
const options = {
  engine: 'demo',
  prefillTokensPerSecond: 50,
  flags: { context: '2048', parallel: '1', threads: '1' },
} as const

/** Folders of KV state that a node's process has made, or has left. */
function stateFolders(pid: number): readonly string[] {
  return readdirSync(memory)
    .filter(name => name.startsWith('hyperspace-state-') && name.includes(`-${pid}-`))
    .map(name => join(memory, name))
}

/** When somebody is killed: as soon as this is seen of a file of KV state. */
type Moment = 'made' | 'written' | 'removed'

/** Does something, and kills a process at a moment of the file that it makes in a folder. */
async function killedAt<Result>(
  { folder, moment }: { readonly folder: string; readonly moment: Moment },
  pid: () => number | undefined,
  act: () => Promise<Result>,
): Promise<Result> {
  let changes = 0
  let isKilled = false
  const isNow = (): boolean => {
    if (moment === 'removed') return readdirSync(folder).length === 0
    return changes === (moment === 'made' ? 1 : 2)
  }
  const watcher = watch(folder, () => {
    changes += 1
    const victim = isKilled || !isNow() ? undefined : pid()
    if (victim === undefined) return
    isKilled = true
    process.kill(victim, 'SIGKILL')
  })
  try {
    const result = await act()
    // What is exported is so after the answer.
    while (!isKilled) await once(watcher, 'change', { signal: AbortSignal.timeout(10_000) })
    return result
  } finally {
    watcher.close()
  }
}

/** Prompts and what an engine says to them that begins from nothing. */
class Prompts {
  readonly #cold: ColdEngine
  #count = 0

  constructor(cold: ColdEngine) {
    this.#cold = cold
  }

  static async start(test: TestContext): Promise<Prompts> {
    return new Prompts(await ColdEngine.start(test))
  }

  async next(): Promise<Prompt> {
    this.#count += 1
    const tokenIds = await this.#cold.prompt(promptTokens, this.#count)
    const { text } = await this.#cold.compute(tokenIds, maxTokens)
    return new Prompt(tokenIds, text)
  }
}

class Prompt {
  readonly #tokenIds: readonly number[]
  readonly #text: string
  #asked = 0

  constructor(tokenIds: readonly number[], text: string) {
    this.#tokenIds = tokenIds
    this.#text = text
  }

  /** Each time as another request, so that no answer is cached. It is kept at once. */
  async ask(node: BedNode): Promise<BedReply> {
    this.#asked += 1
    const body = bodyOf('tiny-chat', this.#tokenIds, maxTokens)
    return await node.ask(completionsPath, {
      ...body,
      seed: this.#asked,
      prompt_cache_key: 'kept at once',
    })
  }

  /** Asks; an answer must be the right one. */
  async check(node: BedNode): Promise<BedReply> {
    const reply = await this.ask(node)
    assert.equal(reply.status, 200, reply.body)
    assert.equal(reply.text, this.#text)
    return reply
  }

  /** The same while something is killed: then a clear error will do. */
  async checkOrError(node: BedNode): Promise<BedReply> {
    const reply = await this.ask(node)
    if (reply.status === 200) assert.equal(reply.text, this.#text)
    else assert.match(reply.body, /engine_failed/)
    return reply
  }
}

/** A node that is killed and started again, on the same folder. */
class Mortal {
  readonly #bed: TestBed
  node: BedNode

  constructor(bed: TestBed, node: BedNode) {
    this.#bed = bed
    this.node = node
  }

  /** Where the node's state files are, once there was one. */
  get folder(): string {
    const [folder] = stateFolders(this.node.process.pid)
    assert.ok(folder !== undefined)
    return folder
  }

  get enginePid(): number | undefined {
    return childOf(this.node.process.pid, 'engine-main')
  }

  async restart(): Promise<void> {
    const { pid } = this.node.process
    const enginePid = this.enginePid
    await this.node.kill()
    if (enginePid !== undefined) await gone(enginePid, AbortSignal.timeout(10_000))
    this.node = await this.#bed.restart(this.node, options)
    assert.deepEqual(stateFolders(pid), [], 'nothing is left in memory of who was killed')
    const { prefix } = await this.node.status()
    assert.equal(prefix?.disk.readOnlyBecause, undefined)
  }

  /** Asks, while the engine's process is killed at a moment of its file. */
  async engineKilledAt(moment: Moment, prompt: Prompt): Promise<void> {
    const before = this.enginePid
    const { folder } = this
    await killedAt(
      { folder, moment },
      () => before,
      () => prompt.checkOrError(this.node),
    )
    await prompt.check(this.node)
    assert.notEqual(this.enginePid, before)
    assert.deepEqual(stateFolders(this.node.process.pid), [folder])
  }

  /** The same with the node's own process. */
  async killedAt(moment: Moment, prompt: Prompt): Promise<void> {
    const { folder } = this
    const { pid } = this.node.process
    await killedAt(
      { folder, moment },
      () => pid,
      async () => await prompt.ask(this.node).catch(() => undefined),
    )
    await this.restart()
    await prompt.check(this.node)
  }

  async kept(blockCount: number): Promise<void> {
    await until(this.node, 'kept', (_, { prefix }) => prefix?.disk.blocks === blockCount)
  }
}

const withoutMemory = existsSync(memory) ? false : 'no file system in memory here'

describe('kill -9', { skip: withoutMemory }, () => {
  for (const moment of ['made', 'written', 'removed'] as const) {
    it(`of the engine’s process and of the node, when a file of KV state is ${moment}`, async test => {
      const bed = testBed(test)
      const [node, prompts] = await Promise.all([bed.start(options), Prompts.start(test)])
      const mortal = new Mortal(bed, node)
      const [zero, one, two] = [await prompts.next(), await prompts.next(), await prompts.next()]
      // Now there is a folder for its files.
      await zero.check(mortal.node)
      await mortal.kept(blocks)
      // While it exports:
      await mortal.engineKilledAt(moment, one)
      await mortal.kept(2 * blocks)
      await mortal.killedAt(moment, two)
      await mortal.kept(3 * blocks)
      // While it imports: what is resident is the last prompt alone.
      await zero.check(mortal.node)
      await mortal.engineKilledAt(moment, one)
      await mortal.killedAt(moment, two)
      assert.equal((await mortal.node.status()).prefix?.disk.blocks, 3 * blocks)
    })
  }
})
