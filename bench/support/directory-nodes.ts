import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLog } from '../../src/interface/log.ts'
import { type LookupKey, parseLookupKey } from '../../src/key/response-key.ts'
import { RendezvousDirectory } from '../../src/net/directory/rendezvous-directory.ts'
import type { Libp2pNetwork } from '../../src/net/libp2p/libp2p-network.ts'
import { systemClock } from '../../src/std/clock.ts'
import { type BenchNetworkOptions, benchNetwork } from './bench-network.ts'

export interface DirectoryNode {
  readonly network: Libp2pNetwork
  readonly directory: RendezvousDirectory
}

export interface DirectoryNodes {
  readonly nodes: readonly DirectoryNode[]
  stop(): Promise<void>
}

/** A fourth of the default: owners take no more than four announcements a second. */
const announceIntervalMs = 250
const signal = new AbortController().signal

/**
 * Real nodes of one process with a directory each. The first `hubs` of them are connected with
 * everybody: whoever asks or provides must know all members, and an owner only its provider.
 */
export async function startDirectoryNodes(count: number, hubs: number): Promise<DirectoryNodes> {
  const nodes: DirectoryNode[] = []
  const stop = async (): Promise<void> => {
    for (const { directory } of nodes) await directory.stop()
    await Promise.all(nodes.map(({ network }) => network.stop()))
  }
  try {
    for (let index = 0; index < count; index++) {
      nodes.push(await startDirectoryNode({ name: `directory-${index}` }))
    }
    for (const [index, { network }] of nodes.slice(0, hubs).entries()) {
      for (const other of nodes.slice(index + 1)) {
        const [address = ''] = other.network.addresses()
        await connect(network, address)
      }
    }
    await settled(nodes)
    return { nodes, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export function randomKeys(count: number): readonly LookupKey[] {
  return Array.from({ length: count }, () => {
    const key = parseLookupKey(randomBytes(32).toString('hex'))
    if (key === undefined) throw new TypeError('32 bytes are a key')
    return key
  })
}

/** Waits until owners have been told everything: nothing has been sent for a while. */
export async function settled(nodes: readonly DirectoryNode[]): Promise<void> {
  for (let quietTurns = 0, before = -1; quietTurns < 4; ) {
    await delay(announceIntervalMs)
    const sent = nodes.reduce((sum, { directory }) => sum + directory.stats().messagesSent, 0)
    quietTurns = sent === before ? quietTurns + 1 : 0
    before = sent
  }
}

/**
 * Twice where need be: a dial may join one of kad-dht's to the same peer, which is given up in that
 * very moment.
 */
async function connect(network: Libp2pNetwork, address: string): Promise<void> {
  try {
    await network.connect(address, { signal })
  } catch {
    await network.connect(address, { signal })
  }
}

export async function startDirectoryNode(options: BenchNetworkOptions): Promise<DirectoryNode> {
  const network = benchNetwork(options)
  const components = { network, clock: systemClock, log: silentLog }
  const directory = new RendezvousDirectory(components, { announceIntervalMs })
  await network.start({ signal })
  await directory.start()
  return { network, directory }
}
