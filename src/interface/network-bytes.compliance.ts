import assert from 'node:assert/strict'
import { it } from 'node:test'
import { bytesAheadMax, KiB, MiB, messageBytesMax } from '../limits.ts'
import type { AbortOptions } from '../std/signal.ts'
import type { Network, PeerId } from './network.ts'
import { failure, failureOf, type NetworkBed, text } from './test-network-bed.ts'

const protocol = '/hyperspace/test-bytes/1'
const signal = new AbortController().signal
const timeoutMs = 10_000

/** The contract of `serveBytes` and `openBytes`: what arrives. */
export function carryingBytes(bed: NetworkBed): void {
  it('openBytes() yields what the handler yields, in order, cut into pieces anyhow', async () => {
    const sizes = [1, 0, 70_000, messageBytesMax, 3, 5 * MiB + 7, 0, 300_000]
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* (body, from) {
        yield Buffer.concat([body, Buffer.from(from)])
        for (const [index, bytes] of sizes.entries()) yield pattern(index, bytes)
      })
    })
    const pieces = await read(bed, a.openBytes(b.self, protocol, text('asked by '), { signal }))
    const expected = [
      text(`asked by ${a.self}`),
      ...sizes.map((bytes, index) => pattern(index, bytes)),
    ]
    assert.ok(Buffer.concat(pieces).equals(Buffer.concat(expected)))
    for (const piece of pieces) assert.ok(piece.length > 0 && piece.length <= messageBytesMax)
  })

  it('expectBytes() does no harm, whoever is expected, and bytes come after it', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        yield pattern(1, 300_000)
      })
    })
    for (const peer of [b.self, b.self, a.self]) a.expectBytes(peer)
    const during = read(bed, a.openBytes(b.self, protocol, text(''), { signal }))
    assert.ok(Buffer.concat(await during).equals(pattern(1, 300_000)))
    a.expectBytes(b.self)
    await bed.settle(b.stop())
    a.expectBytes(b.self)
  })

  it('isTransient pieces are right until the next one is asked for', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        for (let index = 0; index < 9; index++) yield pattern(index, index * 100_003)
      })
    })
    const expected = Array.from({ length: 9 }, (_, index) => pattern(index, index * 100_003))
    for (let call = 0; call < 3; call++) {
      const options = { signal, isTransient: true }
      const copies = await bed.settle(copyAll(a.openBytes(b.self, protocol, text(''), options)))
      assert.ok(Buffer.concat(copies).equals(Buffer.concat(expected)))
    }
  })

  it('a handler may write over what it has yielded when it is asked for the next', async () => {
    const sizes = [300_000, 17, messageBytesMax, 70_000, 2 * MiB + 5, 1]
    // A slice of a Buffer is no copy.
    const memory = Buffer.alloc(3 * MiB)
    const ended = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        try {
          for (const [index, bytes] of sizes.entries()) {
            memory.set(pattern(index, bytes))
            yield memory.subarray(0, bytes)
          }
        } finally {
          memory.fill(0)
          ended.resolve()
        }
      })
    })
    const pieces = await read(bed, a.openBytes(b.self, protocol, text(''), { signal }))
    await bed.settle(ended.promise)
    const expected = sizes.map((bytes, index) => pattern(index, bytes))
    assert.ok(Buffer.concat(pieces).equals(Buffer.concat(expected)))
  })

  it('carries no bytes at all, and openings of the largest size', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* (body) {
        if (body.length > 0) yield text(String(body.length))
      })
    })
    assert.deepEqual(await read(bed, a.openBytes(b.self, protocol, text(''), { signal })), [])
    const large = a.openBytes(b.self, protocol, new Uint8Array(messageBytesMax), { signal })
    assert.equal(String(Buffer.concat(await read(bed, large))), String(messageBytesMax))
    const tooLarge = a.openBytes(b.self, protocol, new Uint8Array(messageBytesMax + 1), { signal })
    await assert.rejects(read(bed, tooLarge), RangeError)
  })

  it('many calls for bytes run at once, more than there are connections', async () => {
    let running = 0
    const release = Promise.withResolvers<void>()
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* (body) {
        running += 1
        if (running === 20) release.resolve()
        await release.promise
        for (let round = 0; round < 5; round++) yield pattern(body[0] ?? 0, 100_000)
      })
    })
    const calls = Array.from({ length: 20 }, (_, index) =>
      collectAll(a.openBytes(b.self, protocol, Uint8Array.of(index), { signal })),
    )
    for (const [index, pieces] of (await bed.settle(Promise.all(calls))).entries()) {
      const expected = Array.from({ length: 5 }, () => pattern(index, 100_000))
      assert.ok(Buffer.concat(pieces).equals(Buffer.concat(expected)), `call ${index}`)
    }
  })

  it('bytes are delivered as they come, not when there are many', async () => {
    const taken = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        yield text('one')
        await taken[0]?.promise
        yield text('two')
        await taken[1]?.promise
      })
    })
    const seen: string[] = []
    await bed.settle(
      (async () => {
        for await (const piece of a.openBytes(b.self, protocol, text(''), { signal })) {
          taken[seen.length]?.resolve()
          seen.push(String(Buffer.from(piece)))
        }
      })(),
    )
    assert.deepEqual(seen, ['one', 'two'])
  })

  it('a handler is not asked for bytes far ahead of a slow reader', async () => {
    let made = 0
    const [a, b] = await bed.pair(network => {
      network.serve(protocol, async body => body)
      network.serveBytes(protocol, async function* () {
        for (; made < 1_000; ) {
          made += 1
          yield new Uint8Array(256 * KiB)
        }
      })
    })
    const reader = a.openBytes(b.self, protocol, text(''), { signal })[Symbol.asyncIterator]()
    let takenBytes = 0
    for (let round = 0; round < 10; round++) {
      takenBytes += (await bed.settle(reader.next())).value?.length ?? 0
      // Whatever the sender may send without the reader has had its time when these are answered.
      for (let turn = 0; turn < 20; turn++) {
        await bed.settle(a.request(b.self, protocol, text(''), { signal, timeoutMs }))
      }
      const aheadBytes = made * 256 * KiB - takenBytes
      assert.ok(aheadBytes <= bytesAheadMax, `${aheadBytes} bytes ahead`)
    }
    await bed.settle(Promise.resolve(reader.return?.()))
    assert.ok(made < 100)
  })
}

/** How it ends. */
export function endingBytes(bed: NetworkBed): void {
  const endless = (onEnd: () => void) =>
    async function* (_body: Uint8Array, _from: PeerId, options: AbortOptions) {
      try {
        while (!options.signal.aborted) yield new Uint8Array(10_000)
      } finally {
        onEnd()
      }
    }

  it('ending the iteration ends the handler, and the next call is served', async () => {
    for (const isWaiting of [false, true]) {
      const ended = Promise.withResolvers<void>()
      const [a, b] = await bed.pair(network => {
        network.serveBytes(protocol, isWaiting ? waiting(ended.resolve) : endless(ended.resolve))
        network.serveBytes('/hyperspace/test-next/1', async function* () {
          yield text('next')
        })
      })
      await bed.settle(
        (async () => {
          for await (const _ of a.openBytes(b.self, protocol, text(''), { signal })) break
        })(),
      )
      await bed.settle(ended.promise)
      const next = a.openBytes(b.self, '/hyperspace/test-next/1', text(''), { signal })
      assert.equal(String(Buffer.concat(await read(bed, next))), 'next')
    }
  })

  it('an abort ends openBytes() with its reason, before and after bytes came', async () => {
    for (const isWaiting of [false, true]) {
      const ended = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      const [a, b] = await bed.pair(network => {
        network.serveBytes(protocol, async function* (body, from, options) {
          begun.resolve()
          if (isWaiting) await aborted(options.signal)
          yield* endless(ended.resolve)(body, from, options)
          ended.resolve()
        })
      })
      const controller = new AbortController()
      const reading = (async () => {
        const options = { signal: controller.signal }
        for await (const _ of a.openBytes(b.self, protocol, text(''), options)) {
          controller.abort(new DOMException('enough', 'AbortError'))
        }
      })()
      const rejected = assert.rejects(bed.settle(reading), { message: 'enough' })
      await bed.settle(begun.promise)
      if (isWaiting) controller.abort(new DOMException('enough', 'AbortError'))
      await rejected
      await bed.settle(ended.promise)
    }
  })

  it('a signal that has fired already asks for no bytes', async () => {
    let calls = 0
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        calls += 1
        yield text('bytes')
      })
    })
    const options = { signal: AbortSignal.abort() }
    const reading = read(bed, a.openBytes(b.self, protocol, text(''), options))
    await assert.rejects(reading, { name: 'AbortError' })
    await read(bed, a.openBytes(b.self, protocol, text(''), { signal }))
    assert.equal(calls, 1)
  })

  it('a handler of bytes that throws is peer_failed after the bytes before it', async () => {
    const [a, b] = await bed.pair(network => {
      network.serveBytes(protocol, async function* () {
        yield text('one')
        throw new Error('secret 4711')
      })
    })
    const seen: Uint8Array[] = []
    const reading = (async () => {
      for await (const piece of a.openBytes(b.self, protocol, text(''), { signal }))
        seen.push(piece)
    })()
    const error = await failure(bed, reading, 'peer_failed')
    assert.ok(!`${error.message} ${error.cause}`.includes('4711'))
    assert.equal(String(Buffer.concat(seen)), 'one')
  })

  it('bytes that nobody serves are peer_failed', async () => {
    const [a, b] = await bed.pair()
    const reading = read(bed, a.openBytes(b.self, '/hyperspace/unknown/1', text(''), { signal }))
    await failureOf(reading, 'peer_failed')
  })

  it('bytes of a peer that is not connected are peer_unreachable', async () => {
    const [a] = await bed.pair()
    const stranger = await bed.create()
    const reading = read(bed, a.openBytes(stranger.self, protocol, text(''), { signal }))
    await failureOf(reading, 'peer_unreachable')
  })

  it('bytes of a peer that stops end in peer_unreachable, and are not taken for all', async () => {
    const [a, b] = await bed.pair(network =>
      network.serveBytes(
        protocol,
        waiting(() => undefined),
      ),
    )
    await failureOf(read(bed, stopAtFirst(bed, a, b)), 'peer_unreachable')
  })

  it('bytes of a peer that bans or disconnects us end in peer_unreachable', async () => {
    for (const part of ['setBanned', 'disconnect'] as const) {
      const ended = Promise.withResolvers<void>()
      const [a, b] = await bed.pair(network => network.serveBytes(protocol, waiting(ended.resolve)))
      const reading = (async () => {
        for await (const _ of a.openBytes(b.self, protocol, text(''), { signal })) {
          await (part === 'disconnect' ? b.disconnect(a.self) : b.setBanned(a.self, true))
        }
      })()
      await failureOf(bed.settle(reading), 'peer_unreachable')
      await bed.settle(ended.promise)
    }
  })

  it('stop() ends handlers of bytes and calls for them', async () => {
    let isEnded = false
    const [a, b] = await bed.pair((network, other) => {
      network.serveBytes(
        protocol,
        waiting(() => undefined),
      )
      other.serveBytes(
        protocol,
        waiting(() => {
          isEnded = true
        }),
      )
    })
    const first = Promise.withResolvers<void>()
    const served = failureOf(
      drain(b.openBytes(a.self, protocol, text(''), { signal }), first.resolve),
      'peer_unreachable',
    )
    const asked = failureOf(
      drain(a.openBytes(b.self, protocol, text(''), { signal })),
      'peer_unreachable',
    )
    await bed.settle(first.promise)
    await bed.settle(a.stop())
    assert.ok(isEnded, 'the handler has ended when stop() returns')
    await bed.settle(Promise.all([asked, served]))
  })
}

/** Yields once, then only listens for its end. */
function waiting(onEnd: () => void) {
  return async function* (_body: Uint8Array, _from: PeerId, options: AbortOptions) {
    try {
      yield text('first')
      await aborted(options.signal)
    } finally {
      onEnd()
    }
  }
}

async function aborted(one: AbortSignal): Promise<void> {
  if (!one.aborted) await new Promise(resolve => one.addEventListener('abort', resolve))
}

async function* stopAtFirst(bed: NetworkBed, a: Network, b: Network): AsyncGenerator<Uint8Array> {
  for await (const piece of a.openBytes(b.self, protocol, text(''), { signal })) {
    await bed.settle(b.stop())
    yield piece
  }
}

async function drain(pieces: AsyncIterable<Uint8Array>, onFirst?: () => void): Promise<void> {
  for await (const _ of pieces) onFirst?.()
}

function read(bed: NetworkBed, pieces: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  return bed.settle(collectAll(pieces))
}

async function copyAll(pieces: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(Buffer.from(piece))
  return all
}

async function collectAll(pieces: AsyncIterable<Uint8Array>): Promise<readonly Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece)
  return all
}

/** Different for every seed, at every place. */
function pattern(seed: number, bytes: number): Uint8Array {
  return Uint8Array.from(
    { length: bytes },
    (_, index) => (index * 31 + (index >> 8) + seed * 7) % 251,
  )
}
