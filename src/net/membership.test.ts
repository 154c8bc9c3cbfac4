import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { PeerId } from '../key/peer-id.ts'
import { systemRandom } from '../std/random.ts'
import { Identity } from './identity.ts'
import { MembershipProof, type MembershipProofOptions, type ProofStep } from './membership.ts'
import { swarmKeys } from './swarm-keys.ts'

const secret = new Uint8Array(32).fill(1)
const keys = swarmKeys(secret)
const alice = Identity.fromSeed(new Uint8Array(32).fill(2)).peerId
const bob = Identity.fromSeed(new Uint8Array(32).fill(3)).peerId
const mallory = Identity.fromSeed(new Uint8Array(32).fill(4)).peerId

function proof(options: Partial<MembershipProofOptions>): MembershipProof {
  return new MembershipProof({
    role: 'dialer',
    context: 'hyperspace/connection/1',
    key: keys.connection,
    nonce: systemRandom.bytes(32),
    ids: undefined,
    ...options,
  })
}

/** Carries bytes between the two until neither says anything; what came of it on each side. */
function run(dialer: MembershipProof, listener: MembershipProof): readonly [string, string] {
  const outcomes = { dialer: 'wait', listener: 'wait' }
  const wire: Buffer[] = []
  const give = (name: 'dialer' | 'listener', bytes: Uint8Array): Uint8Array => {
    if (bytes.length === 0 || outcomes[name] !== 'wait') return new Uint8Array(0)
    wire.push(Buffer.from(bytes))
    const step = (name === 'dialer' ? dialer : listener).receive(bytes)
    outcomes[name] = step.type === 'refused' ? step.reason : step.type
    return step.type === 'refused' ? new Uint8Array(0) : step.send
  }
  let toListener = dialer.begin()
  let toDialer = listener.begin()
  while (toListener.length + toDialer.length > 0) {
    const [fromDialer, fromListener] = [give('dialer', toDialer), give('listener', toListener)]
    toListener = fromDialer
    toDialer = fromListener
  }
  return [outcomes.dialer, outcomes.listener]
}

function bytesOf(step: ProofStep): Uint8Array {
  return step.type === 'refused' ? new Uint8Array(0) : step.send
}

const session = { context: 'hyperspace/session/1', key: keys.session } as const

describe('MembershipProof', () => {
  it('proves two members to each other', () => {
    assert.deepEqual(run(proof({}), proof({ role: 'listener' })), ['proven', 'proven'])
  })

  it('works byte by byte, and hands back what came after', () => {
    const listener = proof({ role: 'listener' })
    const dialer = proof({})
    const answer = bytesOf(dialer.receive(listener.begin()))
    let last: ProofStep | undefined
    for (const byte of answer.subarray(0, -1)) {
      last = listener.receive(Uint8Array.of(byte))
      assert.equal(last.type, 'wait')
    }
    const end = listener.receive(Buffer.concat([answer.subarray(-1), Buffer.from('more')]))
    assert.ok(end.type === 'proven')
    assert.equal(Buffer.from(end.rest).toString(), 'more')
    const step = dialer.receive(end.send)
    assert.equal(step.type, 'proven')
  })

  it('refuses who does not know the secret, and proves nothing to them', () => {
    const stranger = swarmKeys(new Uint8Array(32).fill(9)).connection
    const listener = proof({ role: 'listener' })
    const answer = bytesOf(proof({ key: stranger }).receive(listener.begin()))
    assert.deepEqual(listener.receive(answer), { type: 'refused', reason: 'wrong_proof' })
    // The other way round: a listener that cannot prove.
    const dialer = proof({})
    const foreign = proof({ role: 'listener', key: stranger })
    assert.equal(foreign.receive(bytesOf(dialer.receive(foreign.begin()))).type, 'refused')
    const made = dialer.receive(Buffer.alloc(32))
    assert.deepEqual(made, { type: 'refused', reason: 'wrong_proof' })
  })

  it('refuses a replay: the same bytes at another time prove nothing', () => {
    const first = proof({ role: 'listener' })
    const recorded = bytesOf(proof({}).receive(first.begin()))
    assert.equal(first.receive(recorded).type, 'proven')
    const second = proof({ role: 'listener' })
    assert.deepEqual(second.receive(recorded), { type: 'refused', reason: 'wrong_proof' })
  })

  it('refuses its own messages reflected, in the same and in the other role', () => {
    const listener = proof({ role: 'listener' })
    const hello = listener.begin()
    const padded = Buffer.concat([hello, Buffer.alloc(32)])
    assert.deepEqual(listener.receive(padded), { type: 'refused', reason: 'reflected' })
    // A dialer's own proof is none of a listener.
    const dialer = proof({})
    const sent = bytesOf(dialer.receive(proof({ role: 'listener' }).begin()))
    const step = dialer.receive(sent.subarray(-32))
    assert.deepEqual(step, { type: 'refused', reason: 'wrong_proof' })
  })

  it('of the session binds both peer ids: who passes it on is refused', () => {
    const as = (self: PeerId, peer: PeerId, role: 'dialer' | 'listener'): MembershipProof =>
      proof({ ...session, role, ids: { self, peer } })
    assert.deepEqual(run(as(alice, bob, 'dialer'), as(bob, alice, 'listener')), [
      'proven',
      'proven',
    ])
    // Mallory sits between: alice's encryption says mallory, and so does bob's.
    const [, seenByBob] = run(as(alice, mallory, 'dialer'), as(bob, mallory, 'listener'))
    assert.equal(seenByBob, 'wrong_proof')
    // Swapped ids are other ids.
    assert.deepEqual(run(as(bob, alice, 'dialer'), as(bob, alice, 'listener'))[1], 'wrong_proof')
  })

  it('of one kind does not stand for the other', () => {
    const other = proof({ ...session, role: 'listener' })
    assert.equal(run(proof({}), other)[1], 'wrong_proof')
    const sameKey = proof({ context: session.context, role: 'listener' })
    assert.equal(run(proof({}), sameKey)[1], 'wrong_proof')
  })

  it('refuses another program at its first byte', () => {
    const step = proof({ role: 'listener' }).receive(Buffer.from('GET / HTTP/1.1\r\n'))
    assert.deepEqual(step, { type: 'refused', reason: 'not_hyperspace' })
    assert.equal(proof({ role: 'listener' }).receive(Buffer.from('h')).type, 'wait')
  })

  it('never throws and never accepts random bytes', () => {
    const start = fc.constantFrom(Buffer.alloc(0), Buffer.from('hsp1'))
    const pieces = fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 6 })
    fc.assert(
      fc.property(fc.constantFrom('dialer', 'listener'), start, pieces, (role, head, rest) => {
        const machine = proof({ role: role === 'dialer' ? 'dialer' : 'listener' })
        machine.begin()
        for (const piece of [head, ...rest]) {
          const step = machine.receive(piece)
          assert.notEqual(step.type, 'proven')
          if (step.type === 'refused') return
        }
      }),
    )
  })

  it('refuses a proof with any byte changed', () => {
    fc.assert(
      fc.property(fc.nat(67), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const listener = proof({ role: 'listener' })
        const answer = Buffer.from(bytesOf(proof({}).receive(listener.begin())))
        answer[at] = (answer[at] ?? 0) ^ mask
        assert.equal(listener.receive(answer).type, 'refused')
      }),
    )
  })

  it('makes the messages of spec/vectors/wire.json', () => {
    const path = new URL('../../spec/vectors/wire.json', import.meta.url)
    const { membership } = JSON.parse(readFileSync(path, 'utf8'))
    assert.ok(membership.length >= 2)
    for (const vector of membership) {
      const bytes = (name: string): Buffer => Buffer.from(vector[name], 'hex')
      const derived = swarmKeys(bytes('swarm_secret'))
      const isSession = vector.context === 'hyperspace/session/1'
      const key = isSession ? derived.session : derived.connection
      const make = (role: 'dialer' | 'listener', self: string, peer: string): MembershipProof => {
        const ids = isSession ? { self: vector[self], peer: vector[peer] } : undefined
        return proof({ role, context: vector.context, key, nonce: bytes(`${role}_nonce`), ids })
      }
      const listener = make('listener', 'listener_id', 'dialer_id')
      const dialer = make('dialer', 'dialer_id', 'listener_id')
      const hello = listener.begin()
      assert.equal(Buffer.from(hello).toString('hex'), vector.listener_hello)
      const answer = bytesOf(dialer.receive(hello))
      assert.equal(Buffer.from(answer).toString('hex'), vector.dialer_hello_and_proof)
      const end = bytesOf(listener.receive(answer))
      assert.equal(Buffer.from(end).toString('hex'), vector.listener_proof)
      assert.equal(derived.serviceTag, vector.mdns_service)
      assert.equal(Buffer.from(end).toString('hex'), secondImplementation(vector, key))
    }
  })
})

/** The listener's proof again, from the text of spec/wire.md alone. */
function secondImplementation(vector: Record<string, string>, key: Uint8Array): string {
  const hex = (name: string): Buffer => Buffer.from(vector[name] ?? '', 'hex')
  const text = (name: string): Buffer => Buffer.from(vector[name] ?? '')
  const input = [text('context'), Buffer.from('listen'), hex('dialer_nonce'), hex('listener_nonce')]
  const ids = [text('dialer_id'), text('listener_id')]
  return createHmac('sha256', key)
    .update(Buffer.concat([...input, ...ids]))
    .digest('hex')
}
