import { createHash } from 'node:crypto'
import { OperationError } from '../errors.ts'
import { isJsonObject } from '../std/json.ts'
import { swarmSecretBytes } from './scope.ts'

/** What somebody needs to join a swarm: its secret, and where members can be reached. */
export interface Invite {
  /** What people call the swarm. */
  readonly name: string
  readonly secret: Uint8Array
  /** Multiaddrs with peer ids. */
  readonly addresses: readonly string[]
  /** Milliseconds since 1970; absent: it never expires. */
  readonly expiresAt?: number
}

const prefix = 'hyperspace-swarm-1.'
const checkBytes = 4
/** Longest invite read: the secret and some dozen addresses need 2 KB. */
const inviteCharactersMax = 8_192
const addressesMax = 32
const nameCharactersMax = 64

/** One line to paste: prefix ‖ base64url(JSON ‖ first 4 bytes of its SHA-256). */
export function encodeInvite(invite: Invite): string {
  const json = Buffer.from(
    JSON.stringify({
      n: invite.name,
      s: Buffer.from(invite.secret).toString('base64url'),
      a: invite.addresses.slice(0, addressesMax),
      ...(invite.expiresAt === undefined ? {} : { e: invite.expiresAt }),
    }),
  )
  return prefix + Buffer.concat([json, checkOf(json)]).toString('base64url')
}

/** @throws swarm_invite_invalid saying whether it is damaged, of another version or expired */
export function decodeInvite(text: string, now: number): Invite {
  const line = text.trim()
  if (!line.startsWith(prefix)) {
    const isOther = line.startsWith('hyperspace-swarm-')
    throw invalid(isOther ? 'it was made by another version' : 'it is no invite')
  }
  if (line.length > inviteCharactersMax) throw invalid('it is too long')
  const bytes = Buffer.from(line.slice(prefix.length), 'base64url')
  const json = bytes.subarray(0, -checkBytes)
  if (bytes.length <= checkBytes || !checkOf(json).equals(bytes.subarray(-checkBytes))) {
    throw invalid('it is damaged: copy the whole line')
  }
  const invite = parseInvite(JSON.parse(json.toString()))
  if (invite.expiresAt !== undefined && invite.expiresAt < now) {
    const when = new Date(invite.expiresAt).toISOString()
    throw invalid(`it expired at ${when}. Ask for a new one: \`hyperspace swarm invite\``)
  }
  return invite
}

export function isSwarmName(name: string): boolean {
  return name.length <= nameCharactersMax && /^[\w .-]+$/u.test(name)
}

function parseInvite(value: unknown): Invite {
  if (!isJsonObject(value)) throw invalid('it is damaged')
  const { n: name, s: secretText, a: addresses, e: expiresAt } = value
  const secret = typeof secretText === 'string' ? Buffer.from(secretText, 'base64url') : undefined
  if (typeof name !== 'string' || !isSwarmName(name)) throw invalid('its name is not allowed')
  if (secret?.length !== swarmSecretBytes) throw invalid('its secret is damaged')
  if (!Array.isArray(addresses) || addresses.length > addressesMax) {
    throw invalid('its addresses are damaged')
  }
  return {
    name,
    secret,
    addresses: addresses.filter(address => typeof address === 'string'),
    ...(typeof expiresAt === 'number' ? { expiresAt } : {}),
  }
}

function checkOf(json: Uint8Array): Buffer {
  return createHash('sha256').update(json).digest().subarray(0, checkBytes)
}

function invalid(why: string): OperationError {
  return new OperationError('swarm_invite_invalid', `Cannot join with this invite: ${why}`, {
    origin: 'client',
  })
}
