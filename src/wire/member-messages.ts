import { OperationError } from '../errors.ts'
import {
  type PeerId,
  peerIdOfPublicKey,
  publicKeyBytes,
  publicKeyOfPeerId,
} from '../key/peer-id.ts'
import { addressesPerMemberMax, addressTextMax, membersToldMax } from '../limits.ts'

/**
 * What members tell each other of who else there is, on `/hyperspace/members/1`. Whoever has got a
 * connection asks; integers are little-endian:
 *
 *     request    addresses of the asker
 *     reply      u16 n ‖ n × (public key of a member ‖ its addresses)
 *     addresses  u8 n ‖ n × (u16 length ‖ multiaddr as text)
 */
export interface Member {
  readonly peer: PeerId
  /** Multiaddrs. Not checked further: whoever uses them parses them. */
  readonly addresses: readonly string[]
}

export function encodeAddresses(addresses: readonly string[]): Uint8Array {
  const told = addresses
    .map(address => Buffer.from(address))
    .filter(({ length }) => length > 0 && length <= addressTextMax)
    .slice(0, addressesPerMemberMax)
  const pieces = told.flatMap(text => [u16(text.length), text])
  return Buffer.concat([Uint8Array.of(told.length), ...pieces])
}

/** @throws peer_message_invalid */
export function decodeAddresses(body: Uint8Array): readonly string[] {
  const reader = new Reader(body)
  const addresses = reader.addresses()
  reader.end()
  return addresses
}

/** Takes the first members only, where there are more than may be told. */
export function encodeMembers(members: readonly Member[]): Uint8Array {
  const told = members.slice(0, membersToldMax).flatMap(({ peer, addresses }) => {
    const key = publicKeyOfPeerId(peer)
    return key === undefined ? [] : [Buffer.concat([key, encodeAddresses(addresses)])]
  })
  return Buffer.concat([u16(told.length), ...told])
}

/** @throws peer_message_invalid */
export function decodeMembers(body: Uint8Array): readonly Member[] {
  const reader = new Reader(body)
  const count = reader.u16()
  if (count > membersToldMax) throw invalid('it names too many members')
  const members: Member[] = []
  while (members.length < count) {
    const peer = peerIdOfPublicKey(reader.take(publicKeyBytes))
    members.push({ peer, addresses: reader.addresses() })
  }
  reader.end()
  return members
}

class Reader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(body: Uint8Array) {
    this.#bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  }

  take(count: number): Buffer {
    const end = this.#offset + count
    if (end > this.#bytes.length) throw invalid('it is cut')
    const taken = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return taken
  }

  u16(): number {
    return this.take(2).readUInt16LE()
  }

  addresses(): readonly string[] {
    const count = this.take(1).readUInt8()
    if (count > addressesPerMemberMax) throw invalid('it has too many addresses')
    const addresses: string[] = []
    while (addresses.length < count) {
      const length = this.u16()
      if (length === 0 || length > addressTextMax) throw invalid('an address is empty or too long')
      addresses.push(this.take(length).toString('utf8'))
    }
    return addresses
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw invalid('bytes are left over')
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function invalid(why: string): OperationError {
  return new OperationError('peer_message_invalid', `A members message is no good: ${why}`, {
    origin: 'peer',
  })
}
