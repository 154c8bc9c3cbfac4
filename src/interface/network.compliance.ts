import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { OperationError } from '../errors.ts'
import { messageBytesMax, streamAheadMax } from '../limits.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { Network, PeerChange, PeerId } from './network.ts'
import { carryingBytes, endingBytes } from './network-bytes.compliance.ts'
import { type NetworkBed as Bed, collect, failure, failureOf, text } from './test-network-bed.ts'

/** Where the networks of one test live, and how time passes there. */
export interface NetworkWorld {
  /** A node that is not started; `swarm` names whose secret it knows, all the same by default. */
  create(options?: { readonly swarm: string }): Promise<Network>
  /** Waits for a promise; a simulated world lets time pass until it settles. */
  settle<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

const protocol = '/hyperspace/test/1'
const signal = new AbortController().signal
const timeoutMs = 10_000

/**
 * The contract of `Network`, in code. Runs on real and on virtual time: it waits for events only.
 */
export function networkCompliance(name: string, createWorld: () => Promise<NetworkWorld>): void {
  describe(`${name} as a network`, () => {
    let world: NetworkWorld | undefined
    const created: Network[] = []
    const current = (): NetworkWorld => {
      assert.ok(world)
      return world
    }
    const bed: Bed = {
      settle: promise => current().settle(promise),
      async create(swarm) {
        const network = await current().create(swarm === undefined ? undefined : { swarm })
        created.push(network)
        return network
      },
      async pair(prepare) {
        const a = await bed.create()
        const b = await bed.create()
        prepare?.(b, a)
        for (const network of [a, b]) await bed.settle(network.start({ signal }))
        const isReady = peerChange(b, 'connected', a.self)
        assert.equal(await bed.settle(a.connect(addressOf(b), { signal })), b.self)
        await bed.settle(isReady)
        return [a, b]
      },
    }
    beforeEach(async () => {
      world = await createWorld()
    })
    afterEach(async () => {
      for (const network of created.splice(0)) await bed.settle(network.stop())
      await world?.close()
    })

    asking(bed)
    failing(bed)
    aborting(bed)
    streaming(bed)
    endingStreams(bed)
    carryingBytes(bed)
    endingBytes(bed)
    meeting(bed)
    parting(bed)
  })
}

function asking(bed: Bed): void {
  it('request() returns what the handler replied, and tells it who asks', async () => {
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async (body, from) => Buffer.concat([body, Buffer.from(from)]))
    })
    const reply = await bed.settle(
      a.request(b.self, protocol, text('from '), { signal, timeoutMs }),
    )
    assert.equal(Buffer.from(reply).toString(), `from ${a.self}`)
  })

  it('both ends of a connection may ask', async () => {
    const serve = (network: Network): void => network.serve(protocol, async body => body)
    const [a, b] = await bed.pair((one, other) => [one, other].forEach(serve))
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const reply = from.request(to.self, protocol, text('hello'), { signal, timeoutMs })
      assert.equal(Buffer.from(await bed.settle(reply)).toString(), 'hello')
    }
  })

  it('carries empty bodies and bodies of the largest size', async () => {
    const [a, b] = await bed.pair(network => network.serve(protocol, async body => body))
    for (const bytes of [0, 1, 65_535, 65_536, messageBytesMax]) {
      const body = Uint8Array.from({ length: bytes }, (_, index) => index % 251)
      const reply = await bed.settle(a.request(b.self, protocol, body, { signal, timeoutMs }))
      assert.ok(Buffer.from(reply).equals(body), `${bytes} bytes`)
    }
  })

  it('many requests are in flight at once, and each gets its own reply', async () => {
    const waiting: (() => void)[] = []
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => {
        await new Promise<void>(resolve => {
          waiting.push(resolve)
          // Answered in the order opposite to that of the questions, once all of them are here.
          if (waiting.length === 200) for (const next of waiting.toReversed()) next()
        })
        return body
      })
    })
    const asked = Array.from({ length: 200 }, (_, index) =>
      a.request(b.self, protocol, text(`${index}`), { signal, timeoutMs }),
    )
    const replies = await bed.settle(Promise.all(asked))
    const expected = asked.map((_, index) => `${index}`)
    assert.deepEqual(
      replies.map(reply => Buffer.from(reply).toString()),
      expected,
    )
  })
}

function failing(bed: Bed): void {
  it('a handler that throws is peer_failed, and what it said stays there', async () => {
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async () => {
        throw new Error('secret 4711')
      })
    })
    const asked = a.request(b.self, protocol, text(''), { signal, timeoutMs })
    const error = await failure(bed, asked, 'peer_failed')
    assert.ok(!`${error.message} ${error.cause}`.includes('4711'))
  })

  it('a protocol that nobody serves is peer_failed, and the connection lives on', async () => {
    const [a, b] = await bed.pair(network => network.serve(protocol, async body => body))
    const unknown = '/hyperspace/unknown/1'
    await failure(bed, a.request(b.self, unknown, text(''), { signal, timeoutMs }), 'peer_failed')
    await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
  })

  it('a peer that does not answer is peer_timeout, and its handler ends', async () => {
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => network.serve(protocol, never(ended.resolve)))
    await failure(
      bed,
      a.request(b.self, protocol, text(''), { signal, timeoutMs: 50 }),
      'peer_timeout',
    )
    await bed.settle(ended.promise)
  })

  it('a peer that is not connected is peer_unreachable', async () => {
    const [a] = await bed.pair()
    const stranger = await bed.create()
    const asked = a.request(stranger.self, protocol, text(''), { signal, timeoutMs })
    await failure(bed, asked, 'peer_unreachable')
    const stream = collect(a.openStream(stranger.self, protocol, text(''), { signal }))
    await failure(bed, stream, 'peer_unreachable')
  })

  it('refuses to send a body over the limit, and does not ask the peer', async () => {
    let calls = 0
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => {
        calls += 1
        return body
      })
    })
    const large = new Uint8Array(messageBytesMax + 1)
    await assert.rejects(
      bed.settle(a.request(b.self, protocol, large, { signal, timeoutMs })),
      RangeError,
    )
    await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
    assert.equal(calls, 1)
  })

  it('a reply over the limit is peer_failed', async () => {
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async () => new Uint8Array(messageBytesMax + 1))
    })
    await failure(bed, a.request(b.self, protocol, text(''), { signal, timeoutMs }), 'peer_failed')
  })
}

function aborting(bed: Bed): void {
  it('an abort rejects with its reason and reaches the other side', async () => {
    const started = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, never(ended.resolve, started.resolve))
    })
    const controller = new AbortController()
    const options = { signal: controller.signal, timeoutMs }
    const asked = a.request(b.self, protocol, text(''), options)
    const rejected = assert.rejects(asked, { message: 'not wanted any more' })
    await bed.settle(started.promise)
    controller.abort(new DOMException('not wanted any more', 'AbortError'))
    await bed.settle(rejected)
    await bed.settle(ended.promise)
  })

  it('a signal that has fired already sends nothing', async () => {
    let calls = 0
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => {
        calls += 1
        return body
      })
    })
    const options = { signal: AbortSignal.abort(), timeoutMs }
    await assert.rejects(bed.settle(a.request(b.self, protocol, text(''), options)), {
      name: 'AbortError',
    })
    await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
    assert.equal(calls, 1)
  })
}

function streaming(bed: Bed): void {
  it('openStream() yields what the handler yields, in order, and ends with it', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveStream(protocol, async function* (body) {
        for (let index = 0; index < 100; index++) yield text(`${Buffer.from(body)} ${index}`)
      })
    })
    const messages = await bed.settle(
      collect(a.openStream(b.self, protocol, text('line'), { signal })),
    )
    const expected = Array.from({ length: 100 }, (_, index) => `line ${index}`)
    assert.deepEqual(messages, expected)
  })

  it('carries messages of no bytes and of the largest size', async () => {
    const sizes = [0, messageBytesMax, 1, messageBytesMax]
    const [a, b] = await bed.pair(network => {
      network.serveStream(protocol, async function* () {
        for (const bytes of sizes) yield new Uint8Array(bytes)
      })
    })
    const seen: number[] = []
    await bed.settle(
      (async () => {
        for await (const message of a.openStream(b.self, protocol, text(''), { signal })) {
          seen.push(message.length)
        }
      })(),
    )
    assert.deepEqual(seen, sizes)
  })

  it('a sender is asked for a few messages ahead of a slow reader, not more', async () => {
    let made = 0
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => body)
      network.serveStream(protocol, async function* () {
        for (; made < 1_000; ) {
          made += 1
          yield new Uint8Array(1_000)
        }
      })
    })
    const reader = a.openStream(b.self, protocol, text(''), { signal })[Symbol.asyncIterator]()
    for (let taken = 1; taken <= 20; taken++) {
      assert.equal((await bed.settle(reader.next())).done, false)
      // Whatever the sender may send without the reader has had its time when these are answered.
      for (let round = 0; round < 3; round++) {
        await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
      }
      assert.ok(made <= taken + streamAheadMax + 1, `${made} made, ${taken} taken`)
    }
    await bed.settle(Promise.resolve(reader.return?.()))
    assert.ok(made < 50)
  })

  it('requests pass a stream that nobody reads', async () => {
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => body)
      network.serveStream(protocol, async function* () {
        for (;;) yield new Uint8Array(messageBytesMax)
      })
    })
    const reader = a.openStream(b.self, protocol, text(''), { signal })[Symbol.asyncIterator]()
    await bed.settle(reader.next())
    await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
    await bed.settle(Promise.resolve(reader.return?.()))
  })
}

function endingStreams(bed: Bed): void {
  const endless = (onEnd: () => void) =>
    async function* (_body: Uint8Array, _from: PeerId, options: AbortOptions) {
      try {
        while (!options.signal.aborted) yield text('more')
      } finally {
        onEnd()
      }
    }

  it('ending the iteration ends the sender', async () => {
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => network.serveStream(protocol, endless(ended.resolve)))
    await bed.settle(
      (async () => {
        for await (const _ of a.openStream(b.self, protocol, text(''), { signal })) break
      })(),
    )
    await bed.settle(ended.promise)
  })

  it('an abort ends the iteration with its reason, and the sender', async () => {
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => network.serveStream(protocol, endless(ended.resolve)))
    const controller = new AbortController()
    const options = { signal: controller.signal }
    const reading = (async () => {
      let taken = 0
      for await (const _ of a.openStream(b.self, protocol, text(''), options)) {
        taken += 1
        if (taken === 3) controller.abort(new DOMException('enough', 'AbortError'))
      }
    })()
    await assert.rejects(bed.settle(reading), { message: 'enough' })
    await bed.settle(ended.promise)
  })

  it('a handler that throws is peer_failed after the messages before it', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveStream(protocol, async function* () {
        yield text('one')
        throw new Error('secret 4711')
      })
    })
    const seen: string[] = []
    const reading = (async () => {
      for await (const message of a.openStream(b.self, protocol, text(''), { signal })) {
        seen.push(Buffer.from(message).toString())
      }
    })()
    const error = await failure(bed, reading, 'peer_failed')
    assert.ok(!`${error.message} ${error.cause}`.includes('4711'))
    assert.deepEqual(seen, ['one'])
  })

  it('a protocol that nobody streams is peer_failed', async () => {
    const [a, b] = await bed.pair()
    const reading = collect(a.openStream(b.self, '/hyperspace/unknown/1', text(''), { signal }))
    await failure(bed, reading, 'peer_failed')
  })

  it('a message over the limit is peer_failed', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveStream(protocol, async function* () {
        yield new Uint8Array(messageBytesMax + 1)
      })
    })
    await failure(bed, collect(a.openStream(b.self, protocol, text(''), { signal })), 'peer_failed')
  })
}

function meeting(bed: Bed): void {
  it('peers() shows a connected member on both sides', async () => {
    const [a, b] = await bed.pair()
    assert.deepEqual(
      [a, b].map(network => network.peers().map(peer => [peer.id, peer.direction])),
      [[[b.self, 'outbound']], [[a.self, 'inbound']]],
    )
    for (const view of [...a.peers(), ...b.peers()]) {
      assert.ok(view.connectedAt > 0 && view.bytesSent >= 0 && view.bytesReceived >= 0)
      assert.equal(view.isRelayed, false)
    }
  })

  it('connect() to a connected peer changes nothing', async () => {
    const [a, b] = await bed.pair()
    const changes: PeerChange[] = []
    a.onPeerChange(change => changes.push(change))
    assert.equal(await bed.settle(a.connect(addressOf(b), { signal })), b.self)
    assert.equal(a.peers().length, 1)
    assert.deepEqual(changes, [])
  })

  it('connect() to nobody is peer_unreachable', async () => {
    const [a, b] = await bed.pair()
    const address = addressOf(b)
    await bed.settle(b.stop())
    const third = await bed.create()
    await bed.settle(third.start({ signal }))
    await failure(bed, third.connect(address, { signal }), 'peer_unreachable')
    assert.deepEqual(third.peers(), [])
    assert.ok(!a.peers().some(peer => peer.id === third.self))
  })

  it('a node of another swarm is refused, and served nothing', async () => {
    let calls = 0
    const [, b] = await bed.pair(network => {
      network.serve(protocol, async body => {
        calls += 1
        return body
      })
    })
    const stranger = await bed.create('another swarm')
    await bed.settle(stranger.start({ signal }))
    await failure(bed, stranger.connect(addressOf(b), { signal }), 'swarm_refused')
    const asked = stranger.request(b.self, protocol, text(''), { signal, timeoutMs })
    await failure(bed, asked, 'peer_unreachable')
    assert.ok(!b.peers().some(peer => peer.id === stranger.self))
    assert.deepEqual([stranger.peers(), calls], [[], 0])
  })

  it('two nodes that dial each other at once have one connection each', async () => {
    const a = await bed.create()
    const b = await bed.create()
    const serve = (network: Network): void => network.serve(protocol, async body => body)
    for (const network of [a, b]) serve(network)
    for (const network of [a, b]) await bed.settle(network.start({ signal }))
    await bed.settle(
      Promise.all([a.connect(addressOf(b), { signal }), b.connect(addressOf(a), { signal })]),
    )
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      await bed.settle(from.request(to.self, protocol, text(''), { signal, timeoutMs }))
      assert.equal(from.peers().length, 1)
    }
  })
}

function parting(bed: Bed): void {
  it('disconnect() ends the connection on both sides', async () => {
    const [a, b] = await bed.pair()
    const gone = Promise.all([
      peerChange(a, 'disconnected', b.self),
      peerChange(b, 'disconnected', a.self),
    ])
    await bed.settle(a.disconnect(b.self))
    await bed.settle(gone)
    assert.deepEqual([a.peers(), b.peers()], [[], []])
  })

  it('a banned peer is disconnected and refused until the ban is lifted', async () => {
    const [a, b] = await bed.pair()
    const gone = peerChange(a, 'disconnected', b.self)
    await bed.settle(b.setBanned(a.self, true))
    await bed.settle(gone)
    await assert.rejects(bed.settle(a.connect(addressOf(b), { signal })), OperationError)
    assert.deepEqual(b.peers(), [])
    await bed.settle(b.setBanned(a.self, false))
    await bed.settle(a.connect(addressOf(b), { signal }))
    assert.equal(a.peers().length, 1)
  })

  it('a connection that was kept comes back when its ban is lifted', async () => {
    const [a, b] = await bed.pair()
    await bed.settle(a.setBanned(b.self, true))
    assert.deepEqual(a.peers(), [])
    const isBack = peerChange(a, 'connected', b.self)
    await bed.settle(a.setBanned(b.self, false))
    await bed.settle(isBack)
  })

  it('what is asked of a peer that stops fails, and does not wait for its time-out', async () => {
    const started = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, never(ended.resolve, started.resolve))
      network.serveStream(protocol, async function* () {
        yield text('one')
        await ended.promise
      })
    })
    const options = { signal, timeoutMs: 3_600_000 }
    const asked = failureOf(a.request(b.self, protocol, text(''), options), 'peer_unreachable')
    const reading = collect(a.openStream(b.self, protocol, text(''), { signal }))
    const read = failureOf(reading, 'peer_unreachable')
    await bed.settle(started.promise)
    await bed.settle(b.stop())
    await bed.settle(Promise.all([asked, read]))
    const late = a.request(b.self, protocol, text(''), options)
    await failure(bed, late, 'peer_unreachable')
  })

  it('stop() ends handlers, requests and streams of this node, and may be repeated', async () => {
    const started = Promise.withResolvers<void>()
    let isEnded = false
    const [a, b] = await bed.pair((network, other) => {
      network.serve(
        protocol,
        never(() => undefined),
      )
      other.serve(
        protocol,
        never(() => {
          isEnded = true
        }, started.resolve),
      )
    })
    const options = { signal, timeoutMs: 3_600_000 }
    const served = failureOf(b.request(a.self, protocol, text(''), options), 'peer_unreachable')
    const asked = failureOf(a.request(b.self, protocol, text(''), options), 'peer_unreachable')
    await bed.settle(started.promise)
    await bed.settle(a.stop())
    assert.ok(isEnded, 'the handler has ended when stop() returns')
    assert.deepEqual([a.peers(), a.addresses()], [[], []])
    await bed.settle(Promise.all([asked, served]))
    await bed.settle(a.stop())
  })

  it('onPeerChange() can be ended', async () => {
    const [a, b] = await bed.pair()
    const changes: PeerChange[] = []
    const end = a.onPeerChange(change => changes.push(change))
    end()
    await bed.settle(a.disconnect(b.self))
    assert.deepEqual(changes, [])
  })
}

/** A handler that answers only when it is told to stop. */
function never(onEnd: () => void, onStart: () => void = () => undefined) {
  return async (body: Uint8Array, _from: PeerId, options: AbortOptions): Promise<Uint8Array> => {
    onStart()
    await new Promise<void>(resolve => {
      if (options.signal.aborted) resolve()
      else options.signal.addEventListener('abort', () => resolve())
    })
    onEnd()
    return body
  }
}

function peerChange(network: Network, type: PeerChange['type'], peer: PeerId): Promise<void> {
  return new Promise(resolve => {
    const end = network.onPeerChange(change => {
      if (change.type !== type || change.peer !== peer) return
      end()
      resolve()
    })
  })
}

function addressOf(network: Network): string {
  const [address] = network.addresses()
  assert.ok(address, 'a started node has an address')
  return address
}
