import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SwarmStatus } from '../../src/client/node-status.ts'
import { isJsonObject } from '../../src/std/json.ts'
import { writeSwarmState } from '../../src/swarm-state.ts'
import { type NodeTargetOptions, startHyperspace } from './hyperspace.ts'
import type { ServerProcess } from './server-process.ts'

/** A node of the bench's swarm, in a process of its own. */
export interface SwarmNode {
  readonly server: ServerProcess
  swarm(): Promise<SwarmStatus>
  /** Waits until the node's swarm is as asked. @throws when it does not become so */
  until(isReady: (swarm: SwarmStatus) => boolean): Promise<SwarmStatus>
  /** One empty request to a peer, in milliseconds. */
  pingMs(peer: string): Promise<number>
}

export interface SwarmNodeOptions extends Omit<NodeTargetOptions, 'flags'> {
  /** Of members to be connected with. */
  readonly addresses: readonly string[]
}

/** Known to everybody who reads this: these swarms live on loopback for a minute. */
export const benchSwarmSecret: Uint8Array = new Uint8Array(32).fill(5)
const readyTimeoutMs = 30_000
const pollMs = 50

export async function startSwarmNode(options: SwarmNodeOptions): Promise<SwarmNode> {
  const data = join(options.folder, 'data')
  mkdirSync(data, { recursive: true })
  const { addresses } = options
  writeSwarmState(data, { name: 'bench', secret: benchSwarmSecret, addresses, banned: [] })
  const flags = ['--p2p-host', '127.0.0.1', '--p2p-port', '0', '--network', 'loopback', '--no-mdns']
  const server = await startHyperspace({ ...options, flags })
  const token = adminTokenOf(data)
  const call = async (path: string, body?: object): Promise<Record<string, unknown>> => {
    const reply = await fetch(server.url + path, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    })
    const value: unknown = await reply.json()
    if (reply.ok && isJsonObject(value)) return value
    throw new Error(`${path}: ${reply.status} ${JSON.stringify(value)}`)
  }
  const swarm = async (): Promise<SwarmStatus> => {
    const status: { swarm?: SwarmStatus } = await call('/admin/swarm')
    if (status.swarm === undefined) throw new Error('The node is in no swarm')
    return status.swarm
  }
  return {
    server,
    swarm,
    until: isReady => until(swarm, isReady),
    pingMs: async peer => Number((await call('/admin/peers/ping', { peer }))['roundTripMs']),
  }
}

function adminTokenOf(data: string): string {
  const file: { adminToken: string } = JSON.parse(readFileSync(join(data, 'node.json'), 'utf8'))
  return file.adminToken
}

async function until(
  read: () => Promise<SwarmStatus>,
  isReady: (swarm: SwarmStatus) => boolean,
): Promise<SwarmStatus> {
  for (let waitedMs = 0; waitedMs < readyTimeoutMs; waitedMs += pollMs) {
    const swarm = await read()
    if (isReady(swarm)) return swarm
    await delay(pollMs)
  }
  throw new Error(`The swarm did not get ready: ${JSON.stringify(await read())}`)
}
