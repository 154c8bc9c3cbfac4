import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import type { BlockHash } from '../../key/block-hash.ts'
import { KiB } from '../../limits.ts'
import { assert } from '../../std/assert.ts'
import { blockInvalid } from './state-block.ts'

/**
 * A sealed block: AES-256-GCM under HKDF-SHA-256(block hash). Whoever holds it without knowing the
 * prompt learns its size and nothing else. Format (spec/blocks.md §3):
 *
 *     u8 version = 1 ‖ 12 bytes nonce ‖ ciphertext ‖ 16 bytes tag
 *
 * The version is authenticated too. Not compressed: half-precision rows shrink by a fifth at most,
 * at a tenth of the speed.
 */
const version = 1
const algorithm = 'aes-256-gcm'
export const nonceBytes = 12
const tagBytes = 16
const headerBytes = 1 + nonceBytes
export const sealBytes: number = headerBytes + tagBytes

/**
 * node:crypto cannot write into given memory. Of pieces that stay in the processor's cache the copy
 * costs little, and each can lie where the one before it did: 10 GB/s in pieces of 256 KiB (Node
 * 24).
 */
const pieceBytes: number = 256 * KiB

/** A copy of the nonce that something was sealed with. */
export function nonceOf(sealed: Uint8Array): Uint8Array {
  return new Uint8Array(sealed.subarray(1, headerBytes))
}

/**
 * The pieces, one behind the other, sealed into shared memory. The nonce is random, or that of an
 * earlier seal of the same bytes.
 */
export function sealBlock(
  hash: BlockHash,
  plain: readonly Uint8Array[],
  nonce: Uint8Array,
): Uint8Array {
  assert(nonce.length === nonceBytes, 'a nonce of AES-GCM has 12 bytes')
  const plainBytes = plain.reduce((sum, { length }) => sum + length, 0)
  const sealed = new Uint8Array(new SharedArrayBuffer(plainBytes + sealBytes))
  sealed[0] = version
  sealed.set(nonce, 1)
  const cipher = createCipheriv(algorithm, sealingKey(hash), nonce)
  cipher.setAAD(sealed.subarray(0, 1))
  let end = headerBytes
  for (const part of plain) end = copyThrough(cipher, part, sealed, end)
  cipher.final()
  sealed.set(cipher.getAuthTag(), end)
  return sealed
}

/**
 * What was sealed, in shared memory, which is only made when the size is right.
 *
 * @throws block_invalid for anything that `sealBlock` with this hash did not make of `plainBytes`
 */
export function openBlock(hash: BlockHash, sealed: Uint8Array, plainBytes: number): Uint8Array {
  checkSize(sealed, plainBytes)
  return openInto(new Uint8Array(new SharedArrayBuffer(plainBytes)), hash, sealed)
}

/** The same in the memory of what was sealed, which is lost either way. @throws block_invalid */
export function openBlockInPlace(
  hash: BlockHash,
  sealed: Uint8Array,
  plainBytes: number,
): Uint8Array {
  checkSize(sealed, plainBytes)
  // Each piece lies before what it was made of: what is still to be opened is not written over.
  return openInto(sealed.subarray(0, plainBytes), hash, sealed)
}

function checkSize(sealed: Uint8Array, plainBytes: number): void {
  const expectedBytes = plainBytes + sealBytes
  if (sealed.length !== expectedBytes) {
    throw blockInvalid(`it has ${sealed.length} bytes, not ${expectedBytes}`)
  }
}

/** Returns `plain`. */
function openInto(plain: Uint8Array, hash: BlockHash, sealed: Uint8Array): Uint8Array {
  if (sealed[0] !== version) throw blockInvalid(`its seal's version is ${sealed[0]}`)
  const nonce = sealed.subarray(1, headerBytes)
  const decipher = createDecipheriv(algorithm, sealingKey(hash), nonce, {
    authTagLength: tagBytes,
  })
  decipher.setAAD(sealed.subarray(0, 1))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  copyThrough(decipher, sealed.subarray(headerBytes, -tagBytes), plain, 0)
  try {
    decipher.final()
  } catch (error) {
    throw blockInvalid('it was altered or belongs to another key', error)
  }
  return plain
}

/** Returns where it ends. */
function copyThrough(
  cipher: { update(data: Uint8Array): Uint8Array<ArrayBuffer> },
  from: Uint8Array,
  to: Uint8Array,
  start: number,
): number {
  for (let offset = 0; offset < from.length; offset += pieceBytes) {
    const piece = cipher.update(from.subarray(offset, offset + pieceBytes))
    to.set(piece, start + offset)
    giveBack(piece)
  }
  return start + from.length
}

/**
 * Frees memory that nobody else has. Left to the garbage collector it would come back after tens of
 * megabytes, and the system takes five times as long to make room for a piece as the cipher needs.
 */
function giveBack({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
  if (buffer.byteLength === byteLength) buffer.transfer(0)
}

function sealingKey(hash: BlockHash): Uint8Array {
  const info = 'hyperspace/seal-block/1'
  return new Uint8Array(hkdfSync('sha256', Buffer.from(hash, 'hex'), new Uint8Array(0), info, 32))
}
