import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VirtualClock } from '../../std/clock.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { nextTurn } from '../../std/turn.ts'
import { BlobIndex, type Held } from './blob-index.ts'
import { NameLocks } from './name-locks.ts'
import { type FilePlace, Room } from './room.ts'

interface World {
  readonly index: BlobIndex<FilePlace>
  readonly locks: NameLocks
  readonly room: Room
  readonly clock: VirtualClock
  /** Names of files that were removed. */
  readonly removed: string[]
  /** The file system's answer to a removal. */
  fail: boolean
}

function createWorld(bytesMax: number): World {
  const clock = new VirtualClock(0)
  const index = new BlobIndex<FilePlace>(clock)
  const locks = new NameLocks()
  const removed: string[] = []
  const folder = {
    async remove(name: string): Promise<void> {
      await nextTurn()
      if (world.fail) throw new Error('read-only')
      removed.push(name)
    },
  }
  const scope = new TaskScope(() => undefined)
  const room = new Room({ index, locks, folder, scope }, { bytesMax })
  const world: World = { index, locks, room, clock, removed, fail: false }
  return world
}

function add({ index }: World, name: string, size: number, expiresAt = 1_000): Held<FilePlace> {
  const meta = { costSeconds: 1, createdAt: 0, expiresAt, note: new Uint8Array(0) }
  const place = { bodyStart: 0, bodyBytes: size, checksum: 0, serial: 0 }
  index.set({ name, meta, place, bytes: size, size })
  return index.get(name) ?? assert.fail()
}

describe('Room', () => {
  it('remove() leaves the file alone when another blob is about to take the name', async () => {
    const world = createWorld(100)
    const old = add(world, 'a', 10)
    const renamed = Promise.withResolvers<void>()
    const commit = world.locks.run('a', async () => {
      await renamed.promise
      add(world, 'a', 20)
    })
    const removal = world.room.remove(old)
    renamed.resolve()
    await Promise.all([commit, removal])
    assert.deepEqual(world.removed, [])
    assert.equal(world.index.get('a')?.size, 20)
    assert.equal(world.room.bytes, 20)
  })

  it('counts what is being removed until it is gone', async () => {
    const world = createWorld(100)
    const removal = world.room.remove(add(world, 'a', 60))
    assert.equal(world.index.get('a'), undefined)
    assert.equal(world.room.bytes, 60)
    await removal
    assert.equal(world.room.bytes, 0)
  })

  it('what cannot be removed stays, and the reservation fails', async () => {
    const world = createWorld(100)
    const held = add(world, 'a', 60)
    world.fail = true
    await assert.rejects(world.room.reserve('b', 50), /read-only/)
    assert.equal(world.index.get('a'), held)
    assert.equal(world.room.bytes, 60)
  })

  it('reserve() waits for others who write, and takes their room when they are done', async () => {
    const world = createWorld(100)
    await world.room.reserve('a', 80)
    let isReserved = false
    const second = world.room.reserve('b', 30).then(() => {
      isReserved = true
    })
    await nextTurn()
    assert.equal(isReserved, false)
    world.room.release(80)
    await second
    assert.equal(isReserved, true)
  })

  it('files that should be gone take up room, and are tried again', async () => {
    const world = createWorld(100)
    const held = add(world, 'a', 60, 5)
    world.clock.advance(6)
    world.fail = true
    assert.equal(world.room.live('a'), undefined)
    await nextTurn()
    await nextTurn()
    assert.equal(world.room.bytes, 60, 'it is lost, but on the disk')
    await assert.rejects(world.room.reserve('b', 50), { code: 'store_failed' })
    assert.equal(world.index.get(held.name), undefined)
    await assert.rejects(world.room.sweep(), /read-only/)
    world.fail = false
    await world.room.sweep()
    assert.equal(world.room.bytes, 0)
    await world.room.reserve('b', 50)
  })

  it('a leftover is none any more when its name is taken', async () => {
    const world = createWorld(100)
    add(world, 'a', 60, 5)
    world.clock.advance(6)
    world.fail = true
    assert.equal(world.room.live('a'), undefined)
    await nextTurn()
    await nextTurn()
    add(world, 'a', 30)
    world.room.forgetLeftover('a')
    assert.equal(world.room.bytes, 30)
    world.fail = false
    await world.room.sweep()
    assert.deepEqual(world.removed, [])
  })
})
