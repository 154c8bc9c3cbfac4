import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { systemClock } from '../../std/clock.ts'
import { directIdentity } from '../libp2p/node/certificate.ts'
import { PeerMeasures } from '../session/measures.ts'
import type { DirectOffer } from './direct-offer.ts'
import { DirectPool } from './direct-pool.ts'
import { directServer, newIdentity } from './test-direct.ts'

const { signal } = new AbortController()
const host = '127.0.0.1'

/** A pool with one member to connect to, and how often it was asked where. */
async function bed(
  context: TestContext,
  askOffer?: (offer: DirectOffer) => Promise<DirectOffer | undefined>,
) {
  const { server, guest, offer } = await directServer(context, {})
  const asked: string[] = []
  const pool = new DirectPool({
    clock: systemClock,
    identity: directIdentity(guest),
    measuresOf: () => new PeerMeasures(),
    askOffer: async peer => {
      asked.push(peer)
      return askOffer === undefined ? offer : await askOffer(offer)
    },
  })
  context.after(() => pool.stop())
  return { pool, peer: server.peerId, asked }
}

describe('DirectPool', () => {
  it('openAhead() opens one connection, which the next call gets', async context => {
    const { pool, peer, asked } = await bed(context)
    await pool.openAhead(peer, host, { signal })
    await pool.openAhead(peer, host, { signal })
    assert.equal(pool.isDirect(peer), true)
    const first = await pool.connectionTo(peer, host, { signal })
    assert.ok(first !== undefined)
    assert.equal(first.reserve(), false, 'it is reserved')
    const second = await pool.connectionTo(peer, host, { signal })
    assert.ok(second !== undefined && second !== first)
    first.release()
    assert.equal(await pool.connectionTo(peer, host, { signal }), first)
    assert.equal(asked.length, 1)
  })

  it('reached counts members, also those to whom a connection is only being opened', async context => {
    const release = Promise.withResolvers<void>()
    const { pool, peer } = await bed(context, async offer => {
      await release.promise
      return offer
    })
    assert.equal(pool.reached, 0)
    const stranger = newIdentity().peerId
    // Somebody else is there: that one fails.
    const ahead = [peer, stranger].map(to => pool.openAhead(to, host, { signal }))
    assert.equal(pool.reached, 2)
    release.resolve()
    await Promise.all(ahead)
    assert.equal(pool.reached, 1)
    const second = await pool.connectionTo(peer, host, { signal })
    const third = await pool.connectionTo(peer, host, { signal })
    assert.ok(second !== undefined && third !== undefined)
    assert.equal(pool.reached, 1, 'one member, two connections')
  })

  it('a call that comes while it is opened waits for it; a second one has its own', async context => {
    const release = Promise.withResolvers<void>()
    const { pool, peer } = await bed(context, async offer => {
      await release.promise
      return offer
    })
    const ahead = pool.openAhead(peer, host, { signal })
    const calls = [1, 2].map(() => pool.connectionTo(peer, host, { signal }))
    release.resolve()
    await ahead
    const [one, two] = await Promise.all(calls)
    assert.ok(one !== undefined && two !== undefined && one !== two)
    const third = await pool.connectionTo(peer, host, { signal })
    assert.ok(third !== undefined && third !== one && third !== two, 'no more were opened')
  })

  it('a call that waits for it ends with its own signal', async context => {
    const { pool, peer } = await bed(context, () => new Promise(() => undefined))
    const ahead = pool.openAhead(peer, host, { signal })
    const controller = new AbortController()
    const call = pool.connectionTo(peer, host, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await assert.rejects(call, /enough/)
    await pool.stop()
    await ahead
  })

  it('where there is no direct way a call learns so, whether or not it was tried ahead', async context => {
    const { pool, peer, asked } = await bed(context, async () => undefined)
    const ahead = pool.openAhead(peer, host, { signal })
    assert.equal(await pool.connectionTo(peer, host, { signal }), undefined)
    await ahead
    assert.equal(asked.length, 1)
    assert.equal(pool.isDirect(peer), false)
    await pool.openAhead(newIdentity().peerId, undefined, { signal })
    assert.equal(asked.length, 1, 'nobody is asked without a host')
  })

  it('one that was opened ahead and is lost before its call does not close the way', async context => {
    const { pool, peer } = await bed(context)
    await pool.openAhead(peer, host, { signal })
    const ahead = await pool.connectionTo(peer, host, { signal })
    assert.ok(ahead !== undefined)
    ahead.destroy()
    pool.failed(peer, ahead)
    await ahead.closed
    const fresh = await pool.connectionTo(peer, host, { signal })
    assert.ok(fresh !== undefined)
    fresh.destroy()
    pool.failed(peer, fresh)
    await fresh.closed
    assert.equal(await pool.connectionTo(peer, host, { signal }), undefined, 'but a fresh one does')
  })

  it('openAhead() leaves nothing open when the peer goes away or the pool stops', async context => {
    const release = Promise.withResolvers<void>()
    const { pool, peer } = await bed(context, async offer => {
      await release.promise
      return offer
    })
    const ahead = pool.openAhead(peer, host, { signal })
    pool.close(peer)
    release.resolve()
    await ahead
    assert.equal(pool.isDirect(peer), undefined)
    await pool.openAhead(peer, host, { signal })
    await pool.stop()
    assert.equal(await pool.connectionTo(peer, host, { signal }), undefined)
  })
})
