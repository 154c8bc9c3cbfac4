import { OperationError } from '../errors.ts'
import {
  type PeerId,
  peerIdOfPublicKey,
  publicKeyBytes,
  publicKeyOfPeerId,
} from '../key/peer-id.ts'
import type { LookupKey } from '../key/response-key.ts'
import {
  directoryAnnounceKeysMax,
  directoryAnswerPeersMax,
  directoryFindKeysMax,
} from '../limits.ts'

/**
 * What providers, owners and askers say on `/hyperspace/directory/1`. A fixed binary form: nearly
 * all of it is 32-byte keys, and sizes are checked before anything is read. Integers are
 * little-endian.
 *
 *     announce   u8 1 ‖ u8 1 where all that was announced before is void, else 0
 *                ‖ u16 s: for so many seconds still the sender does without a full mesh; 0 for not
 *                ‖ u32 n ‖ u32 m ‖ n × key that the sender provides now ‖ m × key no more
 *     its reply  u8 1 ‖ u8 1 where it was refused, else 0 ‖ key sum
 *     find       u8 2 ‖ u32 n ‖ n × key
 *     its reply  u8 2 ‖ u16 p ‖ p × public key of a peer
 *                ‖ per key asked: u8 c ‖ c × u16 index of a peer
 *     key sum    u32 how many ‖ u32 and u32: the first 8 bytes of all keys, XORed
 */
export type DirectoryMessage = AnnounceMessage | FindMessage

export interface AnnounceMessage {
  readonly type: 'announce'
  readonly isReset: boolean
  /**
   * For how long still the sender takes some members for not connected with others, and keys for
   * those of regions (ADR 0005); 0 where all are connected with all.
   */
  readonly regionalSeconds: number
  readonly added: readonly LookupKey[]
  readonly removed: readonly LookupKey[]
}

export interface FindMessage {
  readonly type: 'find'
  readonly keys: readonly LookupKey[]
}

export interface AnnounceReply {
  readonly isRefused: boolean
  /** What the owner holds of the sender now. */
  readonly held: KeySum
}

/**
 * Tells in 12 bytes whether two sets of keys are the same. Keys are SHA-256 digests, so equal sums
 * of unequal sets do not happen by chance; whoever forges one hides its own records only.
 */
export interface KeySum {
  readonly count: number
  readonly high: number
  readonly low: number
}

export const emptyKeySum: KeySum = { count: 0, high: 0, low: 0 }

const keyBytes = 32
const announceType = 1
const findType = 2
const announceHeaderBytes = 12
const announceReplyBytes = 14
const findHeaderBytes = 5
const findReplyHeaderBytes = 3

export function addToSum(sum: KeySum, key: LookupKey): KeySum {
  return changeSum(sum, key, 1)
}

export function removeFromSum(sum: KeySum, key: LookupKey): KeySum {
  return changeSum(sum, key, -1)
}

export function isSameSum(a: KeySum, b: KeySum): boolean {
  return a.count === b.count && a.high === b.high && a.low === b.low
}

export function encodeDirectoryMessage(message: DirectoryMessage): Uint8Array {
  if (message.type === 'find') {
    const bytes = Buffer.alloc(findHeaderBytes + message.keys.length * keyBytes)
    bytes[0] = findType
    bytes.writeUInt32LE(message.keys.length, 1)
    writeKeys(bytes, findHeaderBytes, message.keys)
    return bytes
  }
  const { added, removed, isReset, regionalSeconds } = message
  const bytes = Buffer.alloc(announceHeaderBytes + (added.length + removed.length) * keyBytes)
  bytes[0] = announceType
  bytes[1] = isReset ? 1 : 0
  bytes.writeUInt16LE(regionalSeconds, 2)
  bytes.writeUInt32LE(added.length, 4)
  bytes.writeUInt32LE(removed.length, 8)
  const end = writeKeys(bytes, announceHeaderBytes, added)
  writeKeys(bytes, end, removed)
  return bytes
}

/** @throws peer_message_invalid for everything that `encodeDirectoryMessage` does not write */
export function decodeDirectoryMessage(body: Uint8Array): DirectoryMessage {
  const bytes = asBuffer(body)
  if (bytes[0] === findType) {
    const count = readCount(bytes, findHeaderBytes, 1)
    if (count === 0 || count > directoryFindKeysMax)
      throw invalid('it asks for too many or no keys')
    requireLength(bytes, findHeaderBytes + count * keyBytes)
    return { type: 'find', keys: readKeys(bytes, findHeaderBytes, count) }
  }
  if (bytes[0] !== announceType) throw invalid('its type is unknown')
  const addedCount = readCount(bytes, announceHeaderBytes, 4)
  const removedCount = readCount(bytes, announceHeaderBytes, 8)
  if (addedCount + removedCount > directoryAnnounceKeysMax) throw invalid('it has too many keys')
  requireLength(bytes, announceHeaderBytes + (addedCount + removedCount) * keyBytes)
  const removedAt = announceHeaderBytes + addedCount * keyBytes
  return {
    type: 'announce',
    isReset: readFlag(bytes),
    regionalSeconds: bytes.readUInt16LE(2),
    added: readKeys(bytes, announceHeaderBytes, addedCount),
    removed: readKeys(bytes, removedAt, removedCount),
  }
}

export function encodeAnnounceReply({ isRefused, held }: AnnounceReply): Uint8Array {
  const bytes = Buffer.alloc(announceReplyBytes)
  bytes[0] = announceType
  bytes[1] = isRefused ? 1 : 0
  bytes.writeUInt32LE(held.count, 2)
  bytes.writeUInt32LE(held.high, 6)
  bytes.writeUInt32LE(held.low, 10)
  return bytes
}

/** @throws peer_message_invalid */
export function decodeAnnounceReply(body: Uint8Array): AnnounceReply {
  const bytes = asBuffer(body)
  requireLength(bytes, announceReplyBytes)
  if (bytes[0] !== announceType) throw invalid('its type is not that of the question')
  const held = {
    count: bytes.readUInt32LE(2),
    high: bytes.readUInt32LE(6),
    low: bytes.readUInt32LE(10),
  }
  return { isRefused: readFlag(bytes), held }
}

/**
 * The providers of each key, in the order of the question. Leaves out what does not fit into the
 * table of peers, and ids that are not of an Ed25519 key.
 */
export function encodeFindReply(answers: readonly (readonly PeerId[])[]): Uint8Array {
  const indexes = new Map<PeerId, number>()
  const table: Uint8Array[] = []
  const indexOf = (peer: PeerId): number | undefined => {
    const known = indexes.get(peer)
    if (known !== undefined || table.length >= directoryAnswerPeersMax) return known
    const publicKey = publicKeyOfPeerId(peer)
    if (publicKey === undefined) return undefined
    indexes.set(peer, table.length)
    return table.push(publicKey) - 1
  }
  const lists = answers.map(peers => {
    const list = peers
      .slice(0, 255)
      .map(indexOf)
      .filter(index => index !== undefined)
    const bytes = Buffer.alloc(1 + 2 * list.length)
    bytes[0] = list.length
    for (const [position, index] of list.entries()) bytes.writeUInt16LE(index, 1 + 2 * position)
    return bytes
  })
  const header = Buffer.alloc(findReplyHeaderBytes)
  header[0] = findType
  header.writeUInt16LE(table.length, 1)
  return Buffer.concat([header, ...table, ...lists])
}

/** @throws peer_message_invalid for everything that `encodeFindReply` does not write */
export function decodeFindReply(
  body: Uint8Array,
  keyCount: number,
): readonly (readonly PeerId[])[] {
  const bytes = asBuffer(body)
  if (bytes[0] !== findType) throw invalid('its type is not that of the question')
  if (bytes.length < findReplyHeaderBytes) throw invalid('it is too short')
  const peerCount = bytes.readUInt16LE(1)
  if (peerCount > directoryAnswerPeersMax) throw invalid('it names too many peers')
  let at = findReplyHeaderBytes + peerCount * publicKeyBytes
  if (bytes.length < at + keyCount) throw invalid('it is too short')
  const table = Array.from({ length: peerCount }, (_, index) => {
    const start = findReplyHeaderBytes + index * publicKeyBytes
    return peerIdOfPublicKey(bytes.subarray(start, start + publicKeyBytes))
  })
  const answers = Array.from({ length: keyCount }, () => {
    const count = bytes[at] ?? 0
    if (bytes.length < at + 1 + 2 * count) throw invalid('it is too short')
    const peers = Array.from({ length: count }, (_, position) => {
      const peer = table[bytes.readUInt16LE(at + 1 + 2 * position)]
      if (peer === undefined) throw invalid('it points to no peer')
      return peer
    })
    at += 1 + 2 * count
    return peers
  })
  requireLength(bytes, at)
  return answers
}

function changeSum(sum: KeySum, key: LookupKey, by: 1 | -1): KeySum {
  return {
    count: sum.count + by,
    high: (sum.high ^ Number.parseInt(key.slice(0, 8), 16)) >>> 0,
    low: (sum.low ^ Number.parseInt(key.slice(8, 16), 16)) >>> 0,
  }
}

function writeKeys(bytes: Buffer, start: number, keys: readonly LookupKey[]): number {
  let at = start
  for (const key of keys) at += bytes.write(key, at, keyBytes, 'hex')
  return at
}

function readKeys(bytes: Buffer, start: number, count: number): readonly LookupKey[] {
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * keyBytes
    return bytes.toString('hex', at, at + keyBytes) as LookupKey
  })
}

function readCount(bytes: Buffer, headerBytes: number, at: number): number {
  if (bytes.length < headerBytes) throw invalid('it is too short')
  return bytes.readUInt32LE(at)
}

function readFlag(bytes: Buffer): boolean {
  const flag = bytes[1]
  if (flag !== 0 && flag !== 1) throw invalid('a flag is neither 0 nor 1')
  return flag === 1
}

function requireLength(bytes: Buffer, length: number): void {
  if (bytes.length !== length) throw invalid('its length is not what its counts say')
}

function asBuffer(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

function invalid(why: string): OperationError {
  return new OperationError('peer_message_invalid', `Cannot read the message: ${why}`, {
    origin: 'peer',
  })
}
