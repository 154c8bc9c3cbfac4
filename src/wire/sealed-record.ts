import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { OperationError } from '../errors.ts'
import type { ResponseKey } from '../key/response-key.ts'
import { answerBytesMax } from '../limits.ts'

/**
 * A sealed record: zstd, then AES-256-GCM under HKDF-SHA-256(response key). Whoever holds it
 * without knowing the request learns its size and nothing else. Format (spec/keys.md §5):
 *
 *     u8 version = 1 ‖ 12 bytes nonce ‖ ciphertext ‖ 16 bytes tag
 *
 * The version is authenticated too.
 */
const version = 1
const nonceBytes = 12
const tagBytes = 16
const headerBytes = 1 + nonceBytes

export function sealRecord(key: ResponseKey, plain: Uint8Array, nonce: Uint8Array): Uint8Array {
  const header = Buffer.concat([Buffer.from([version]), nonce.subarray(0, nonceBytes)])
  const cipher = createCipheriv('aes-256-gcm', sealingKey(key), header.subarray(1))
  cipher.setAAD(header.subarray(0, 1))
  const packed = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
  return Buffer.concat([header, cipher.update(packed), cipher.final(), cipher.getAuthTag()])
}

/** @throws record_invalid for anything that `sealRecord` with this key did not make */
export function openRecord(key: ResponseKey, sealed: Uint8Array): Uint8Array {
  if (sealed.length < headerBytes + tagBytes) throw invalid('it is too short')
  if (sealed[0] !== version) throw invalid(`its version is ${sealed[0]}, not ${version}`)
  const tagStart = sealed.length - tagBytes
  const decipher = createDecipheriv(
    'aes-256-gcm',
    sealingKey(key),
    sealed.subarray(1, headerBytes),
    {
      authTagLength: tagBytes,
    },
  )
  decipher.setAAD(sealed.subarray(0, 1))
  decipher.setAuthTag(sealed.subarray(tagStart))
  try {
    const packed = Buffer.concat([
      decipher.update(sealed.subarray(headerBytes, tagStart)),
      decipher.final(),
    ])
    return zstdDecompressSync(packed, { maxOutputLength: answerBytesMax })
  } catch (error) {
    throw invalid('it was altered or belongs to another key', error)
  }
}

function sealingKey(key: ResponseKey): Uint8Array {
  const info = 'hyperspace/seal/1'
  return new Uint8Array(hkdfSync('sha256', Buffer.from(key, 'hex'), new Uint8Array(0), info, 32))
}

function invalid(why: string, cause?: unknown): OperationError {
  return new OperationError('record_invalid', `Cannot open the record: ${why}`, {
    origin: 'store',
    cause,
  })
}
