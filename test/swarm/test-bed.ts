import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { NodeStatus, SwarmStatus } from '../../src/client/node-status.ts'
import { writeSwarmState } from '../../src/swarm-state.ts'
import { BedNode } from './bed-node.ts'
import { BedProcess } from './bed-process.ts'
import type { ProcessPlan } from './node-process.ts'

const cliMain = join(import.meta.dirname, '../../src/cli/main.ts')
const nodeMain = join(import.meta.dirname, 'node-process.ts')
const compileCache = join(import.meta.dirname, '../../node_modules/.cache/compiled')

export interface BedNodeOptions {
  /** @default the next letter */
  readonly name?: string
  /**
   * `demo`: the CLI with the bundled model. `fake`: at once there, with a fake engine. @default
   * 'fake'
   */
  readonly engine?: 'demo' | 'fake'
  /** How long the fake engine computes, so that peers can be faster. @default 0 */
  readonly holdMs?: number
  /**
   * What the engine says of its speed, so that what is planned does not hang on the machine; a real
   * one runs outside of the CLI then. @default what it measures
   */
  readonly prefillTokensPerSecond?: number
  /** Bytes of a row of the fake engine's KV state: a block has 512 times as many. @default 16 */
  readonly stateRowBytes?: number
  /** Nodes or addresses that it is told of. @default [] */
  readonly peers?: readonly (BedNode | string)[]
  /** Whose swarm: 32 bytes, or none at all. @default the bed's own */
  readonly secret?: Uint8Array | undefined
  /** A data folder of before. @default a new one */
  readonly data?: string
  /** Settings as in the configuration file. */
  readonly flags?: { readonly [name: string]: string | boolean | readonly string[] }
  /**
   * A command that runs the process, as for a namespace: then it is reached through its process.
   */
  readonly inside?: readonly string[]
}

const ownFlags = {
  port: '0',
  p2pPort: '0',
  p2pHost: '127.0.0.1',
  network: 'loopback',
  mdns: false,
  discover: false,
} as const

/** How often a node is asked whether something has come true, at first and in the end. */
const pollMs = { first: 25, last: 500 }
/** How long at most. Of 64 nodes on two cores each needs minutes to meet all others. */
const pollTimeoutMs = 240_000

/**
 * N real nodes in processes of their own, on loopback, in one swarm. Starts, wires, kills, freezes
 * and partitions them; `close` ends all and removes their folders.
 */
export class TestBed {
  /** The swarm's. */
  readonly secret: Uint8Array
  readonly #folder: string
  readonly #processes: BedProcess[] = []
  #nodeCount = 0

  constructor(secret: Uint8Array = new Uint8Array(32).fill(7)) {
    this.secret = secret
    this.#folder = mkdtempSync(join(tmpdir(), 'hyperspace-swarm-'))
  }

  /** Starts one node and waits until it listens. */
  async start(options: BedNodeOptions = {}): Promise<BedNode> {
    const [node] = await this.startMany(1, options)
    if (node === undefined) throw new Error('No node was started')
    return node
  }

  /** Starts as many alike in one process. */
  async startMany(count: number, options: BedNodeOptions = {}): Promise<readonly BedNode[]> {
    const { engine = 'fake', inside = [] } = options
    const folders = Array.from({ length: count }, (_, index) => this.#folderFor(options, index))
    const flags = { ...ownFlags, ...options.flags }
    const { holdMs = 0, prefillTokensPerSecond, stateRowBytes } = options
    const plan: ProcessPlan = {
      nodes: folders.map(({ data }) => ({ data, flags: {} })),
      flags,
      holdMs,
      isFake: engine === 'fake',
      ...(prefillTokensPerSecond === undefined ? {} : { prefillTokensPerSecond }),
      ...(stateRowBytes === undefined ? {} : { stateRowBytes }),
    }
    const args =
      engine === 'fake' || prefillTokensPerSecond !== undefined
        ? [nodeMain, JSON.stringify(plan)]
        : [cliMain, 'up', '--json', '--data', folders[0]?.data ?? '', ...cliFlags(flags)]
    const [command = process.execPath, ...rest] = [...inside, process.execPath, ...args]
    const env = {
      PATH: process.env['PATH'],
      HOME: this.#folder,
      NODE_COMPILE_CACHE: compileCache,
    }
    const bedProcess = new BedProcess({ command, args: rest, env, nodeCount: count })
    this.#processes.push(bedProcess)
    const statuses = await bedProcess.started
    return statuses.map((status, index) => {
      const { name = '', data = '' } = folders[index] ?? {}
      return new BedNode({ name, data, status, process: bedProcess, isInside: inside.length > 0 })
    })
  }

  /** A node again, after its end, on its data folder. */
  async restart(node: BedNode, options: BedNodeOptions = {}): Promise<BedNode> {
    await node.process.ended
    return await this.start({ name: node.name, ...options, data: node.data })
  }

  /** Waits until each of the nodes is connected with so many others. */
  async connected(nodes: readonly BedNode[], peerCount: number = nodes.length - 1): Promise<void> {
    await Promise.all(
      nodes.map(node =>
        until(node, `${peerCount} peers`, ({ peers }) => peers.length >= peerCount),
      ),
    )
  }

  /** Cuts the nodes of one group off from those of the other. */
  async partition(some: readonly BedNode[], others: readonly BedNode[]): Promise<void> {
    await this.#eachPair(some, others, (node, other) => node.setBanned(other, true))
  }

  /** Takes a partition back. Who was banned is forgotten, so the sides have to be told again. */
  async heal(some: readonly BedNode[], others: readonly BedNode[]): Promise<void> {
    await this.#eachPair(some, others, (node, other) => node.setBanned(other, false))
    const pairs = some.flatMap(node => others.map(other => node.connect(other.address)))
    await Promise.all(pairs)
  }

  /** Ends all processes. Nothing of the bed is left when it returns. */
  async close(): Promise<void> {
    for (const bedProcess of this.#processes) bedProcess.signal('SIGKILL')
    await Promise.all(this.#processes.map(({ ended }) => ended))
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #folderFor(options: BedNodeOptions, index: number): { name: string; data: string } {
    this.#nodeCount += 1
    const name = index === 0 && options.name !== undefined ? options.name : `n${this.#nodeCount}`
    const data = options.data ?? join(this.#folder, name)
    if (options.data !== undefined && options.peers === undefined) return { name, data }
    mkdirSync(data, { recursive: true })
    const peers = (options.peers ?? []).flatMap(peer =>
      typeof peer === 'string' ? peer : peer.addresses,
    )
    const secret = 'secret' in options ? options.secret : this.secret
    if (secret !== undefined) {
      writeSwarmState(data, { name: 'lab', secret, addresses: peers, banned: [] })
    }
    return { name, data }
  }

  async #eachPair(
    some: readonly BedNode[],
    others: readonly BedNode[],
    act: (node: BedNode, other: BedNode) => Promise<void>,
  ): Promise<void> {
    for (const node of some) {
      for (const other of others) {
        await act(node, other)
        await act(other, node)
      }
    }
  }
}

/** A bed that ends with the test. */
export function testBed(test: TestContext): TestBed {
  const bed = new TestBed()
  test.after(() => bed.close())
  return bed
}

/** Asks a node until something is true of its swarm. @throws when that takes too long */
export async function until(
  node: BedNode,
  what: string,
  isTrue: (swarm: SwarmStatus, status: NodeStatus) => boolean,
): Promise<void> {
  const deadline = AbortSignal.timeout(pollTimeoutMs)
  for (let waitMs = pollMs.first; ; waitMs = Math.min(waitMs * 1.5, pollMs.last)) {
    const status = await node.status()
    const { swarm } = status
    if (swarm === null) throw new Error(`${node.name} is in no swarm`)
    if (isTrue(swarm, status)) return
    if (deadline.aborted) {
      throw new Error(`${node.name}: no ${what}: ${JSON.stringify(status)}\n${node.process.errors}`)
    }
    await setTimeout(waitMs)
  }
}

/** Waits until a node offers so many answers to its peers. */
export async function shares(node: BedNode, answerCount: number): Promise<void> {
  await until(node, `${answerCount} answers`, swarm => swarm.sharedAnswers >= answerCount)
}

/** Waits until a node offers so many answers that it has computed. Their leaves come before them. */
export async function issued(node: BedNode, answerCount: number): Promise<void> {
  await shares(node, answerCount)
}

/** `{ p2pPort: '0', mdns: false }` as flags of the command line. */
function cliFlags(flags: NonNullable<BedNodeOptions['flags']>): readonly string[] {
  return Object.entries(flags).flatMap(([name, value]) => {
    const flag = name.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    if (value === false) return [`--no-${flag}`]
    if (value === true) return [`--${flag}`]
    const values = typeof value === 'string' ? [value] : value
    return values.flatMap(one => [`--${flag}`, one])
  })
}
