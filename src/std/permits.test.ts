import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Permits } from './permits.ts'

const { signal } = new AbortController()

describe('Permits', () => {
  it('lets so many work, the others in their order, and no more wait than may', async () => {
    const permits = new Permits(1, 2)
    const first = await permits.acquire({ signal })
    const order: string[] = []
    const second = permits.acquire({ signal }).then(release => {
      order.push('second')
      return release
    })
    const third = permits.acquire({ signal }).then(release => {
      order.push('third')
      return release
    })
    assert.equal(await permits.acquire({ signal }), undefined)
    first?.()
    // Giving back twice gives nothing more.
    first?.()
    const release = await second
    assert.deepEqual(order, ['second'])
    release?.()
    await third
    assert.deepEqual(order, ['second', 'third'])
  })

  it('forgets who stops waiting', async () => {
    const permits = new Permits(1, 1)
    const first = await permits.acquire({ signal })
    const controller = new AbortController()
    const second = permits.acquire(controller)
    controller.abort()
    await assert.rejects(second, { name: 'AbortError' })
    await assert.rejects(permits.acquire(controller), { name: 'AbortError' })
    first?.()
    assert.notEqual(await permits.acquire({ signal }), undefined)
  })

  it('tryAcquire() takes what is free and never waits, nor passes those who do', async () => {
    const permits = new Permits(2, 1)
    const first = permits.tryAcquire()
    const second = permits.tryAcquire()
    assert.ok(first && second)
    assert.equal(permits.tryAcquire(), undefined)
    const waiting = permits.acquire({ signal })
    first()
    assert.equal(permits.tryAcquire(), undefined, 'it is of whoever waited')
    assert.ok(await waiting)
    second()
    assert.ok(permits.tryAcquire())
  })
})
