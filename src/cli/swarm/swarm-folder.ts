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
import {
  readSwarmState,
  removeSwarmState,
  type SwarmState,
  writeSwarmState,
} from '../../swarm-state.ts'
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

/** The swarm of a folder, undefined for a damaged file too: who says --force starts anew. */
export function readableState(data: string): SwarmState | undefined {
  try {
    return readSwarmState(data)
  } catch (error) {
    if (error instanceof OperationError) return undefined
    throw error
  }
}

/**
 * Puts the folder into a swarm, and its running node with it, which is returned. Makes the folder
 * where there is none. When the node cannot follow (its port is taken …), all is as it was before.
 * @throws data_folder_unusable, and what the node says
 */
export async function enterSwarm(
  context: CommandContext,
  state: SwarmState,
  before: SwarmState | undefined,
): Promise<AdminClient | undefined> {
  const { data, signal } = context
  makeFolder(data)
  writeSwarmState(data, state)
  try {
    return await followNow(context)
  } catch (error) {
    // Who interrupts the command does not interrupt the node, which is joining.
    if (signal.aborted || !(error instanceof OperationError)) throw error
    if (before === undefined) removeSwarmState(data)
    else writeSwarmState(data, before)
    const place = before === undefined ? 'in no swarm' : `in swarm '${before.name}'`
    const rest = (await isFollowing(context)) ? '' : ' from its next start on'
    const { code, origin, retryable } = error
    throw new OperationError(
      code,
      `${error.message}. Not joined: ${data} is ${place} as before${rest}`,
      { origin, retryable, cause: error },
    )
  }
}

async function isFollowing(context: CommandContext): Promise<boolean> {
  try {
    await followNow(context)
    return true
  } catch (error) {
    if (error instanceof OperationError) return false
    throw error
  }
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
