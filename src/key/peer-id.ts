import type { Brand } from '../std/brand.ts'

/**
 * Text form of a libp2p peer id of an Ed25519 key (`12D3Koo…`): base58btc of an identity multihash,
 * so that the id holds the public key and needs no look-up (spec/receipts.md §1).
 */
export type PeerId = Brand<string, 'PeerId'>

/** Length of an Ed25519 public key. */
export const publicKeyBytes = 32

/**
 * Identity multihash (0x00) of 36 bytes; in them a protobuf with type Ed25519 (0x08 0x01) and the
 * key (0x12 0x20 …).
 */
const prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
/** Every id of an Ed25519 key has this many characters: 38 bytes with one leading zero. */
const textLength = 52

export function peerIdOfPublicKey(publicKey: Uint8Array): PeerId {
  if (publicKey.length !== publicKeyBytes) {
    throw new RangeError(`An Ed25519 public key has ${publicKeyBytes} bytes`)
  }
  return encodeBase58(Buffer.concat([prefix, publicKey])) as PeerId
}

/** The public key in the id; undefined for what is no peer id of an Ed25519 key. */
export function publicKeyOfPeerId(text: string): Uint8Array | undefined {
  if (text.length !== textLength) return undefined
  const bytes = decodeBase58(text)
  if (bytes?.length !== prefix.length + publicKeyBytes) return undefined
  if (!prefix.every((byte, index) => bytes[index] === byte)) return undefined
  return bytes.subarray(prefix.length)
}

/** The id in bytes, as hash tables and wires of libp2p have it. */
export function multihashOfPeerId(peer: PeerId): Uint8Array {
  const publicKey = publicKeyOfPeerId(peer)
  if (publicKey === undefined) throw new RangeError('This is no id of an Ed25519 key')
  return Buffer.concat([prefix, publicKey])
}

export function parsePeerId(text: string): PeerId | undefined {
  return publicKeyOfPeerId(text) === undefined ? undefined : (text as PeerId)
}

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** Digits that fit a number exactly; with one BigInt step per digit it would take twice as long. */
const chunkDigits = 8
const chunkBase = 58n ** BigInt(chunkDigits)

function encodeBase58(bytes: Uint8Array): string {
  let text = ''
  for (let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`); rest > 0n; rest /= chunkBase) {
    let chunk = Number(rest % chunkBase)
    for (let digit = 0; digit < chunkDigits; digit++) {
      text = `${alphabet[chunk % 58]}${text}`
      chunk = Math.floor(chunk / 58)
    }
  }
  const zeros = bytes.findIndex(byte => byte !== 0)
  return '1'.repeat(zeros) + text.replace(/^1+/, '')
}

function decodeBase58(text: string): Uint8Array | undefined {
  let value = 0n
  for (let start = 0; start < text.length; start += chunkDigits) {
    const digits = text.slice(start, start + chunkDigits)
    let chunk = 0
    for (const character of digits) {
      const digit = alphabet.indexOf(character)
      if (digit === -1) return undefined
      chunk = chunk * 58 + digit
    }
    value = value * 58n ** BigInt(digits.length) + BigInt(chunk)
  }
  const hex = value.toString(16)
  const zeros = text.length - text.replace(/^1+/, '').length
  const tail = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
  return Buffer.concat([Buffer.alloc(zeros), tail])
}
