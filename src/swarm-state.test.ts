import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { OperationError } from './errors.ts'
import { bannedPeersMax, rememberedAddressesMax } from './limits.ts'
import {
  readSwarmState,
  rememberAddress,
  removeSwarmState,
  type SwarmState,
  writeSwarmState,
} from './swarm-state.ts'

const state: SwarmState = {
  name: 'lab',
  secret: Buffer.alloc(32, 0xc3),
  addresses: ['/ip4/10.0.0.1/tcp/11501'],
  banned: ['12D3KooWsomebody'],
}
const secretHex = 'c3'.repeat(32)

describe('swarm.json', () => {
  let root: string
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'hyperspace-swarm-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))
  const file = (): string => join(root, 'swarm.json')

  it('is read as it was written, and gone once it is removed', () => {
    assert.equal(readSwarmState(root), undefined)
    writeSwarmState(root, state)
    assert.deepEqual(readSwarmState(root), state)
    assert.deepEqual(readdirSync(root), ['swarm.json'])
    removeSwarmState(root)
    removeSwarmState(root)
    assert.equal(readSwarmState(root), undefined)
  })

  it('is for its owner only, whatever was there before', () => {
    writeFileSync(`${file()}.new`, 'left by a crash', { mode: 0o644 })
    writeSwarmState(root, state)
    assert.equal(statSync(file()).mode & 0o777, 0o600)
    chmodSync(file(), 0o644)
    readSwarmState(root)
    assert.equal(statSync(file()).mode & 0o777, 0o600)
  })

  it('keeps the newest bans when there are too many', () => {
    const banned = Array.from({ length: bannedPeersMax + 5 }, (_, index) => `peer ${index}`)
    writeSwarmState(root, { ...state, banned })
    assert.deepEqual(readSwarmState(root)?.banned, banned.slice(5))
  })

  it('remembers where members were reached, of the same swarm only, the newest of many', () => {
    const remember = (address: string): void => rememberAddress(root, state.secret, address)
    remember('/ip4/10.0.0.2/tcp/1')
    assert.equal(readSwarmState(root), undefined, 'left meanwhile')
    writeSwarmState(root, state)
    rememberAddress(root, Buffer.alloc(32), '/ip4/10.0.0.3/tcp/1')
    for (let index = 0; index < rememberedAddressesMax; index++) {
      remember(`/ip4/10.0.0.2/tcp/${index}`)
      remember('/ip4/10.0.0.2/tcp/0')
    }
    const addresses = readSwarmState(root)?.addresses
    assert.equal(addresses?.length, rememberedAddressesMax)
    assert.equal(addresses?.at(-1), `/ip4/10.0.0.2/tcp/${rememberedAddressesMax - 1}`)
    assert.deepEqual(readSwarmState(root)?.banned, state.banned)
  })

  it('says what is wrong with a damaged file, but never its secret', () => {
    const whole = JSON.stringify({ ...state, secret: secretHex })
    const damaged = [
      '',
      'null',
      '[]',
      whole.slice(0, -1),
      `${whole} x`,
      whole.replace('"lab"', '"../lab"'),
      whole.replace('"lab"', '7'),
      whole.replace(secretHex, secretHex.slice(1)),
      whole.replace(secretHex, `${secretHex}zz`),
      whole.replace(secretHex, `${secretHex.slice(2)}zz`),
      whole.replace(/"addresses":\[.*?\]/, '"addresses":"none"'),
    ]
    for (const text of damaged) {
      writeFileSync(file(), text)
      assert.throws(
        () => readSwarmState(root),
        (error: unknown) => {
          assert.ok(error instanceof OperationError && error.code === 'data_folder_unusable', text)
          const said = `${error.message} ${error.stack} ${String(error.cause)}`
          assert.ok(said.includes('swarm leave'))
          assert.ok(!said.includes('c3c3'), 'the secret')
          return true
        },
      )
    }
  })

  it('passes over what is no text in its lists, and takes a file without them', () => {
    const { name } = state
    writeFileSync(file(), JSON.stringify({ name, secret: secretHex, banned: [1, 'a', null] }))
    assert.deepEqual(readSwarmState(root), { ...state, addresses: [], banned: ['a'] })
  })

  it('says so when it cannot be read or written', () => {
    mkdirSync(file())
    assert.throws(() => readSwarmState(root), { code: 'data_folder_unusable' })
    assert.throws(() => writeSwarmState(root, state), { code: 'data_folder_unusable' })
    assert.deepEqual(readdirSync(root), ['swarm.json'], 'and leaves no draft')
  })
})
