import { decode, encode } from 'cborg'
import { OperationError } from '../errors.ts'
import { type ModelId, parseModelId } from '../key/model-id.ts'
import { type PeerId, peerIdOfPublicKey, publicKeyBytes } from '../key/peer-id.ts'
import { type LookupKey, parseLookupKey } from '../key/response-key.ts'
import { assert } from '../std/assert.ts'
import { assertItemsWithin } from './cbor-items.ts'

export interface SignedFormOptions {
  /** For messages. */
  readonly name: 'manifest' | 'receipt'
  readonly code: 'manifest_invalid' | 'receipt_invalid'
  readonly version: number
  /** Of body and signature together. */
  readonly bytesMax: number
  /** CBOR items of the body. @default any number */
  readonly itemsMax?: number
}

export interface SignedParts<Value> {
  readonly value: Value
  /** The bytes that were signed, without the domain. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

export interface Fields {
  readonly [name: string]: unknown
}

const signatureBytes = 64
/** The last millisecond that ECMAScript dates can name. */
export const instantMax = 8_640_000_000_000_000

/**
 * The form of what issuers sign: a map of deterministic CBOR with its version in `v`, and behind it
 * an Ed25519 signature. What is read throws the `code` that the form was made with.
 */
export class SignedForm {
  readonly #options: SignedFormOptions

  constructor(options: SignedFormOptions) {
    this.#options = options
  }

  /** The part that is signed. @throws RangeError if too large */
  encodeBody(fields: Fields): Uint8Array {
    const { name, version, bytesMax } = this.#options
    const body = encode({ v: version, ...fields })
    if (body.length + signatureBytes <= bytesMax) return body
    throw new RangeError(`A ${name} has at most ${bytesMax} bytes`)
  }

  join(body: Uint8Array, signature: Uint8Array): Uint8Array {
    assert(signature.length === signatureBytes, 'An Ed25519 signature has 64 bytes')
    return Buffer.concat([body, signature])
  }

  /** What was signed of `body ‖ signature`; nothing is checked. */
  bodyOf(bytes: Uint8Array): Uint8Array {
    return bytes.subarray(0, -signatureBytes)
  }

  /** Reads `body ‖ signature`; the signature is not checked. */
  decode<Value>(
    bytes: Uint8Array,
    read: (fields: Fields) => Value,
    encodeBody: (value: Value) => Uint8Array,
  ): SignedParts<Value> {
    if (bytes.length > this.#options.bytesMax) throw this.invalid('it is too large')
    if (bytes.length <= signatureBytes) throw this.invalid('it is too short')
    const body = this.bodyOf(bytes)
    const value = read(this.#fieldsOf(body))
    this.#checkForm(body, () => encodeBody(value))
    return { value, body, signature: bytes.subarray(-signatureBytes) }
  }

  asLookupKey(value: unknown): LookupKey {
    const key = parseLookupKey(this.asDigest(value))
    if (key === undefined) throw this.invalid('its key is none')
    return key
  }

  asModelId(value: unknown): ModelId {
    const id = parseModelId(this.asText(value))
    if (id === undefined) throw this.invalid('its model id is none')
    return id
  }

  asIssuer(value: unknown): PeerId {
    return peerIdOfPublicKey(this.asBytes(value, publicKeyBytes))
  }

  asText(value: unknown): string {
    if (typeof value === 'string' && value !== '') return value
    throw this.invalid('a text is missing')
  }

  /** 64 hex digits. */
  asDigest(value: unknown): string {
    return Buffer.from(this.asBytes(value, 32)).toString('hex')
  }

  asBytes(value: unknown, length: number): Uint8Array {
    if (value instanceof Uint8Array && value.length === length) return value
    throw this.invalid(`a field of ${length} bytes is missing`)
  }

  invalid(why: string, cause?: unknown): OperationError {
    const { name, code } = this.#options
    return new OperationError(code, `Cannot read the ${name}: ${why}`, { origin: 'peer', cause })
  }

  /** One statement, one form: what would be written differently was not written by an issuer. */
  #checkForm(body: Uint8Array, encodeAgain: () => Uint8Array): void {
    let again: Uint8Array
    try {
      again = encodeAgain()
    } catch (error) {
      // Numbers in a short form may be so many bytes longer in the right one that it is too large.
      throw this.invalid('it is not canonical', error)
    }
    if (Buffer.compare(again, body) !== 0) throw this.invalid('it is not canonical')
  }

  #fieldsOf(body: Uint8Array): Fields {
    const { version, itemsMax } = this.#options
    let value: unknown
    try {
      if (itemsMax !== undefined) assertItemsWithin(body, itemsMax)
      value = decode(body, { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false })
    } catch (error) {
      throw this.invalid('it is not strict CBOR', error)
    }
    if (!isMap(value)) throw this.invalid('it is no map')
    if (value['v'] !== version) throw this.invalid('its version is unknown')
    return value
  }
}

function isMap(value: unknown): value is Fields {
  const isObject = typeof value === 'object' && value !== null
  return isObject && !Array.isArray(value) && !ArrayBuffer.isView(value)
}
