import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { chmodSync, linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { OperationError } from '../errors.ts'
import { type PeerId, peerIdOfPublicKey } from '../key/peer-id.ts'
import type { Random } from '../std/random.ts'

/** Length of an Ed25519 seed. */
export const seedBytes = 32
/** RFC 8410: a PKCS#8 private key of Ed25519 is these bytes and the seed. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * Who this node is: an Ed25519 key whose public half is the peer id. Signs receipts, and proves on
 * every connection that the peer id is ours. The secret half is reachable through
 * `exposeSecretKey` only, so that no log prints it by accident.
 */
export class Identity {
  readonly peerId: PeerId
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  readonly #privateKey: KeyObject

  constructor(privateKey: KeyObject) {
    this.#privateKey = privateKey
    const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
    this.publicKey = new Uint8Array(der.subarray(-32))
    this.peerId = peerIdOfPublicKey(this.publicKey)
  }

  static fromSeed(seed: Uint8Array): Identity {
    if (seed.length !== seedBytes) throw new RangeError(`A seed has ${seedBytes} bytes`)
    const key = Buffer.concat([pkcs8Prefix, seed])
    return new Identity(createPrivateKey({ key, type: 'pkcs8', format: 'der' }))
  }

  /** An Ed25519 signature: 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array {
    return sign(null, bytes, this.#privateKey)
  }

  /** Seed ‖ public key, as libp2p takes it. */
  exposeSecretKey(): Uint8Array {
    const der = this.#privateKey.export({ type: 'pkcs8', format: 'der' })
    return Buffer.concat([der.subarray(-seedBytes), this.publicKey])
  }

  exportPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

/**
 * Reads the node's key (PKCS#8 PEM), or makes it the first time. Only its owner may read the file;
 * a mode that lets others is put right.
 * @throws data_folder_unusable when the file holds no Ed25519 key or cannot be read or written
 */
export function openIdentity(file: string, random: Random): Identity {
  try {
    return readIdentity(file) ?? makeIdentity(file, random)
  } catch (error) {
    if (error instanceof OperationError) throw error
    throw unusable(file, 'it cannot be read or written', error)
  }
}

function readIdentity(file: string): Identity | undefined {
  const pem = readIfThere(file)
  if (pem === undefined) return undefined
  if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
  const key = parseKey(pem)
  if (key === undefined) {
    throw unusable(file, 'it is damaged. Restore it, or remove it to get a new identity')
  }
  return new Identity(key)
}

function makeIdentity(file: string, random: Random): Identity {
  const identity = Identity.fromSeed(random.bytes(seedBytes))
  // Written aside and linked: a crash leaves no half a key, and of two first starts one key stays.
  const aside = `${file}.${random.uuid()}`
  writeFileSync(aside, identity.exportPem(), { mode: 0o600, flag: 'wx', flush: true })
  try {
    linkSync(aside, file)
  } catch (error) {
    const other = readIdentity(file)
    if (other !== undefined) return other
    throw error
  } finally {
    rmSync(aside, { force: true })
  }
  return identity
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT') return undefined
    throw error
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    // The cause could quote the file, and the file is a secret.
    return undefined
  }
}

function unusable(file: string, why: string, cause?: unknown): OperationError {
  const message = `Cannot use the node's key ${file}: ${why}`
  return new OperationError('data_folder_unusable', message, { origin: 'store', cause })
}
