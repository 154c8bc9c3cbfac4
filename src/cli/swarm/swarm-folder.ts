import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AdminClient } from '../../client/admin-client.ts'
import type { SwarmStatus } from '../../client/node-status.ts'
import { findRunningNode } from '../../data-folder.ts'
import { OperationError } from '../../errors.ts'
import { swarmScope } from '../../key/scope.ts'
import { type Identity, openIdentity } from '../../net/identity.ts'
import { systemRandom } from '../../std/random.ts'
import { folderUnusable } from '../../store/lmdb/data-folder.ts'
import { readSwarmState, type SwarmState, writeSwarmState } from '../../swarm-state.ts'
import type { CommandContext } from '../command.ts'
import { requireAdmin } from '../running-node.ts'

/** The swarm of a data folder. @throws not_found saying how to get into one */
export function requireSwarm(data: string): SwarmState {
  const state = readSwarmState(data)
  if (state !== undefined) return state
  throw new OperationError(
    'not_found',
    `${data} is in no swarm: join one with \`hyperspace swarm join INVITE\`, or make one with ` +
      '`hyperspace swarm create`',
    { origin: 'client' },
  )
}

/**
 * Names a swarm's secret without telling it, for people to compare: the tag of its scope in four
 * groups.
 */
export function fingerprintOf(secret: Uint8Array): string {
  const { swarm = '' } = swarmScope(secret)
  return swarm.match(/.{1,4}/g)?.join('-') ?? ''
}

/** Makes the folder where there is none. @throws data_folder_unusable */
export function putSwarm(data: string, state: SwarmState): void {
  makeFolder(data)
  writeSwarmState(data, state)
}

/**
 * Who the node of a folder is; its key is made where there is none.
 * @throws data_folder_unusable
 */
export function identityOf(data: string): Identity {
  makeFolder(data)
  return openIdentity(join(data, 'node.key'), systemRandom)
}

/** The running node of the folder, if there is one. */
export function runningAdmin(data: string): AdminClient | undefined {
  const node = findRunningNode(data)
  return node === undefined ? undefined : new AdminClient(node)
}

/**
 * The running node and its place in the swarm.
 * @throws node_not_running; not_found where it is in none
 */
export async function requireSwarmNode({ data, signal }: CommandContext): Promise<SwarmNode> {
  const admin = requireAdmin(data)
  const { swarm } = await admin.swarm({ signal })
  if (swarm !== undefined) return { admin, swarm }
  const { name } = requireSwarm(data)
  const message = `The node runs outside swarm '${name}': --offline, or it could not join`
  throw new OperationError('not_found', message, { origin: 'client' })
}

export interface SwarmNode {
  readonly admin: AdminClient
  readonly swarm: SwarmStatus
}

/** Makes a running node follow what was changed in its folder; undefined where none runs. */
export async function followNow({
  data,
  signal,
}: CommandContext): Promise<AdminClient | undefined> {
  const admin = runningAdmin(data)
  await admin?.reloadSwarm({ signal })
  return admin
}

function makeFolder(data: string): void {
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw folderUnusable(data, error)
  }
}
