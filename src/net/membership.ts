import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PeerId } from '../key/peer-id.ts'

/**
 * Proof of membership: both sides of a connection show that they know the swarm's secret without
 * sending it (spec/wire.md §2). Used twice: on the bare connection before any encryption, so that a
 * stranger costs next to nothing; and inside the encrypted session, bound to both peer ids, so that
 * somebody in the middle who passes the first proof on fails the second.
 *
 *     listener → dialer   magic ‖ nonce L
 *     dialer → listener   magic ‖ nonce D ‖ HMAC(key, context ‖ "dialer" ‖ D ‖ L ‖ ids)
 *     listener → dialer   HMAC(key, context ‖ "listen" ‖ D ‖ L ‖ ids)
 *
 * The listener proves only to who has proved, so a stranger gets a random number and nothing else.
 * A pure state machine: bytes in, bytes out, no clock, no randomness.
 */
export class MembershipProof {
  readonly #options: MembershipProofOptions
  #state: 'hello' | 'proof' | 'done' = 'hello'
  #peerNonce: Uint8Array = new Uint8Array(0)
  #received: Uint8Array = new Uint8Array(0)

  constructor(options: MembershipProofOptions) {
    if (options.nonce.length !== nonceBytes) throw new RangeError(`A nonce has ${nonceBytes} bytes`)
    this.#options = options
  }

  /** What this side sends before it has read anything. */
  begin(): Uint8Array {
    return this.#options.role === 'listener' ? this.#hello() : new Uint8Array(0)
  }

  /** Takes bytes as they come. Never holds more than one message of the other side. */
  receive(bytes: Uint8Array): ProofStep {
    if (this.#state === 'done') throw new Error('The proof is over')
    const all = Buffer.concat([this.#received, bytes])
    if (this.#state === 'hello') return this.#receiveHello(all)
    return this.#receiveProof(all)
  }

  #receiveHello(all: Buffer): ProofStep {
    const head = all.subarray(0, magic.length)
    if (!head.equals(magic.subarray(0, head.length))) return this.#refuse('not_hyperspace')
    if (all.length < helloBytes) return this.#wait(all)
    const nonce = all.subarray(magic.length, helloBytes)
    // Our own words sent back to us prove nothing.
    if (nonce.equals(this.#options.nonce)) return this.#refuse('reflected')
    this.#peerNonce = new Uint8Array(nonce)
    this.#state = 'proof'
    const rest = all.subarray(helloBytes)
    if (this.#options.role === 'listener') return this.#receiveProof(rest)
    // Nothing may follow a listener's hello: it has to wait for the proof.
    if (rest.length > 0) return this.#refuse('wrong_proof')
    return { type: 'wait', send: Buffer.concat([this.#hello(), this.#proofOf('dialer')]) }
  }

  #receiveProof(all: Buffer): ProofStep {
    if (all.length < proofBytes) return this.#wait(all)
    const { role } = this.#options
    const expected = this.#proofOf(role === 'dialer' ? 'listener' : 'dialer')
    if (!timingSafeEqual(all.subarray(0, proofBytes), expected)) return this.#refuse('wrong_proof')
    this.#state = 'done'
    this.#received = new Uint8Array(0)
    const send = role === 'listener' ? this.#proofOf('listener') : new Uint8Array(0)
    return { type: 'proven', send, rest: new Uint8Array(all.subarray(proofBytes)) }
  }

  #wait(all: Buffer): ProofStep {
    this.#received = all
    return { type: 'wait', send: new Uint8Array(0) }
  }

  #refuse(reason: ProofRefusal): ProofStep {
    this.#state = 'done'
    this.#received = new Uint8Array(0)
    return { type: 'refused', reason }
  }

  #hello(): Uint8Array {
    return Buffer.concat([magic, this.#options.nonce])
  }

  #proofOf(prover: ProofRole): Uint8Array {
    const { role, nonce, key, context, ids } = this.#options
    const isDialer = role === 'dialer'
    const hmac = createHmac('sha256', key)
      .update(context)
      .update(roleNames[prover])
      .update(isDialer ? nonce : this.#peerNonce)
      .update(isDialer ? this.#peerNonce : nonce)
    if (ids !== undefined) {
      hmac.update(isDialer ? ids.self : ids.peer).update(isDialer ? ids.peer : ids.self)
    }
    return hmac.digest()
  }
}

export type ProofRole = 'dialer' | 'listener'

/** `not_hyperspace`: another program. `wrong_proof`: another swarm, or somebody in the middle. */
export type ProofRefusal = 'not_hyperspace' | 'reflected' | 'wrong_proof'

export type ProofStep =
  | { readonly type: 'wait'; readonly send: Uint8Array }
  /** `rest`: what the other side sent after its proof; it belongs to whoever reads on. */
  | { readonly type: 'proven'; readonly send: Uint8Array; readonly rest: Uint8Array }
  | { readonly type: 'refused'; readonly reason: ProofRefusal }

export interface MembershipProofOptions {
  readonly role: ProofRole
  /** Which of the two proofs: never equal in both, so that one cannot stand for the other. */
  readonly context: ProofContext
  readonly key: Uint8Array
  /** 32 fresh random bytes. */
  readonly nonce: Uint8Array
  /** Authenticated by the encryption; undefined before it. Peer ids have one length. */
  readonly ids: { readonly self: PeerId; readonly peer: PeerId } | undefined
}

export type ProofContext = 'hyperspace/connection/1' | 'hyperspace/session/1'

export const nonceBytes = 32
const magic = Buffer.from('hsp1')
const helloBytes = magic.length + nonceBytes
const proofBytes = 32
/** Of one length, so that nothing shifts into the next field. */
const roleNames: { readonly [role in ProofRole]: string } = { dialer: 'dialer', listener: 'listen' }
