import { chmodSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OperationError } from './errors.ts'
import { isSwarmName } from './key/invite.ts'
import { swarmSecretBytes } from './key/scope.ts'
import { bannedPeersMax, rememberedAddressesMax } from './limits.ts'
import { isJsonObject, type Json } from './std/json.ts'

/** The swarm that a data folder belongs to: `<data>/swarm.json`, readable by its owner only. */
export interface SwarmState {
  readonly name: string
  readonly secret: Uint8Array
  /** Multiaddrs of members, from the invite and of those that were met. */
  readonly addresses: readonly string[]
  /** Peer ids that this node refuses. */
  readonly banned: readonly string[]
}

/**
 * Undefined: the folder belongs to no swarm. A mode that lets others read the secret is put right.
 * @throws data_folder_unusable when the file is damaged
 */
export function readSwarmState(root: string): SwarmState | undefined {
  const file = fileOf(root)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
    if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw unusable(file, 'cannot be read', error)
  }
  return parseState(file, text)
}

/** @throws data_folder_unusable, and then the file is as it was */
export function writeSwarmState(root: string, state: SwarmState): void {
  const file = fileOf(root)
  const draft = `${file}.new`
  const value = {
    ...state,
    addresses: state.addresses.slice(-rememberedAddressesMax),
    banned: state.banned.slice(-bannedPeersMax),
    secret: Buffer.from(state.secret).toString('hex'),
  }
  try {
    // Whatever an earlier crash left could be readable by others: a file of our own mode.
    rmSync(draft, { force: true })
    writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true })
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw unusable(file, 'cannot be written', error)
  }
}

/**
 * Keeps an address at which a member was reached, for the next start; nothing where the folder
 * belongs to another swarm by now.
 * @throws data_folder_unusable
 */
export function rememberAddress(root: string, secret: Uint8Array, address: string): void {
  const state = readSwarmState(root)
  if (state === undefined || Buffer.compare(state.secret, secret) !== 0) return
  if (state.addresses.includes(address)) return
  writeSwarmState(root, { ...state, addresses: [...state.addresses, address] })
}

/** @throws data_folder_unusable */
export function removeSwarmState(root: string): void {
  const file = fileOf(root)
  try {
    rmSync(file, { force: true })
  } catch (error) {
    throw unusable(file, 'cannot be removed', error)
  }
}

function fileOf(root: string): string {
  return join(root, 'swarm.json')
}

function parseState(file: string, text: string): SwarmState {
  const value = parsed(text)
  if (!isJsonObject(value)) throw damaged(file, 'it is no JSON object')
  const { name, secret, addresses = [], banned = [] } = value
  if (typeof name !== 'string' || !isSwarmName(name)) throw damaged(file, 'its name is none')
  if (typeof secret !== 'string' || !secretForm.test(secret)) {
    throw damaged(file, 'its secret is none')
  }
  return {
    name,
    secret: Buffer.from(secret, 'hex'),
    addresses: texts(file, addresses, rememberedAddressesMax),
    banned: texts(file, banned, bannedPeersMax),
  }
}

const secretForm = new RegExp(`^[0-9a-f]{${2 * swarmSecretBytes}}$`, 'i')

/** Undefined for what is no JSON. What the parser says of it would quote the secret. */
function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function texts(file: string, value: Json, countMax: number): readonly string[] {
  if (!Array.isArray(value)) throw damaged(file, 'a list is missing')
  return value.filter(item => typeof item === 'string').slice(0, countMax)
}

function damaged(file: string, why: string): OperationError {
  return unusable(file, `is damaged: ${why}`)
}

function unusable(file: string, why: string, cause?: unknown): OperationError {
  const remedy = 'Restore it, or run `hyperspace swarm leave` and join again'
  return new OperationError('data_folder_unusable', `${file} ${why}. ${remedy}`, {
    origin: 'store',
    cause,
  })
}
