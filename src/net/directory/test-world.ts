import type { DirectoryNode, DirectoryWorld } from '../../interface/directory.compliance.ts'
import { silentLog } from '../../interface/log.ts'
import type { PeerId } from '../../interface/network.ts'
import { SeededRandom } from '../../std/seeded-random.ts'
import { SimulatedClock } from '../../std/simulated-clock.ts'
import { MemoryTable, type MemoryTableOptions } from '../memory-discovery.ts'
import { MemoryWorld, type MemoryWorldOptions } from '../memory-world.ts'
import type { DirectoryOptions, Misbehaviour } from './directory-parts.ts'
import { RendezvousDirectory } from './rendezvous-directory.ts'

export interface TestWorld extends DirectoryWorld {
  readonly clock: SimulatedClock
  readonly network: MemoryWorld
  readonly table: MemoryTable
  readonly alive: ReadonlySet<DirectoryNode>
  readonly misbehaviour: { readonly by: PeerId; readonly reason: Misbehaviour }[]
  /** A started node that is connected to nobody. */
  create(options?: { readonly self?: PeerId }): Promise<DirectoryNode>
  connect(node: DirectoryNode, others: readonly DirectoryNode[]): Promise<void>
  /** Nodes that are each connected with about `degree` of the others, all of them by some way. */
  growPartly(count: number, degree: number): Promise<readonly DirectoryNode[]>
}

export interface TestWorldOptions extends MemoryWorldOptions, DirectoryOptions {
  readonly seed?: number
  /** With it nodes have a hash table. */
  readonly table?: Partial<MemoryTableOptions>
}

const signal = new AbortController().signal

/** Nodes with a directory each, in one simulated world. */
export function testWorld(options: TestWorldOptions = {}): TestWorld {
  const clock = new SimulatedClock()
  const random = new SeededRandom(options.seed ?? 1)
  const network = new MemoryWorld({ clock, random }, { latencyMs: 5, jitterMs: 2, ...options })
  const table = new MemoryTable({ clock, random }, options.table)
  const alive = new Set<DirectoryNode>()
  const misbehaviour: { by: PeerId; reason: Misbehaviour }[] = []
  const selves = (nodes: readonly DirectoryNode[]): readonly PeerId[] =>
    nodes.map(node => node.network.self)

  const world: TestWorld = {
    clock,
    network,
    table,
    alive,
    misbehaviour,
    async create(created = {}) {
      const node = network.createNetwork(created)
      const onMisbehaviour = (by: PeerId, reason: Misbehaviour): void => {
        misbehaviour.push({ by, reason })
      }
      const components = { network: node, clock, log: silentLog, onMisbehaviour }
      const discovery = options.table && { discovery: table.discoveryOf(node) }
      const directory = new RendezvousDirectory({ ...components, ...discovery }, options)
      await node.start()
      await directory.start()
      alive.add({ network: node, directory })
      return [...alive].at(-1) ?? { network: node, directory }
    },
    async connect(node, others) {
      const dials = others.map(other =>
        node.network.connect(`/memory/${other.network.self}`, { signal }),
      )
      await clock.settle(Promise.all(dials))
    },
    async grow(count) {
      const grown: DirectoryNode[] = []
      for (let index = 0; index < count; index++) {
        const before = [...alive]
        const node = await world.create()
        await world.connect(node, before)
        grown.push(node)
      }
      return grown
    },
    async growPartly(count, degree) {
      const grown: DirectoryNode[] = []
      for (let index = 0; index < count; index++) grown.push(await world.create())
      for (const [index, node] of grown.entries()) {
        // A ring holds all together; the rest of each node's connections go anywhere.
        const others = [grown[(index + 1) % count]]
        while (others.length < degree / 2) {
          const other = grown[Math.floor(random.fraction() * count)]
          if (other !== node && !others.includes(other)) others.push(other)
        }
        await world.connect(
          node,
          others.filter(other => other !== undefined),
        )
      }
      return grown
    },
    settle: promise => clock.settle(promise),
    pass: () => clock.run(1_000),
    async kill(node) {
      alive.delete(node)
      network.kill(node.network.self)
      await clock.settle(node.directory.stop())
    },
    freeze: nodes => {
      for (const peer of selves(nodes)) network.freeze(peer)
    },
    partition: nodes => network.partition(selves(nodes)),
    heal: () => network.heal(),
    async close() {
      for (const { network: node, directory } of alive) {
        await clock.settle(directory.stop())
        await clock.settle(node.stop())
      }
    },
  }
  return world
}
