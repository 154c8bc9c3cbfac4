import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../errors.ts'
import { peerIdOfPublicKey } from '../key/peer-id.ts'
import { parseLookupKey } from '../key/response-key.ts'
import { directoryAnnounceKeysMax, directoryFindKeysMax } from '../limits.ts'
import {
  addToSum,
  decodeAnnounceReply,
  decodeDirectoryMessage,
  decodeFindReply,
  emptyKeySum,
  encodeAnnounceReply,
  encodeDirectoryMessage,
  encodeFindReply,
  isSameSum,
  removeFromSum,
} from './directory-messages.ts'

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })
const lookupKey = digest.map(bytes => {
  const key = parseLookupKey(Buffer.from(bytes).toString('hex'))
  assert.ok(key)
  return key
})
const keys = fc.array(lookupKey, { maxLength: 20 })
const peers = fc.array(digest.map(peerIdOfPublicKey), { maxLength: 5 })
const u32 = fc.nat({ max: 0xffff_ffff })
const sum = fc.tuple(u32, u32, u32).map(([count, high, low]) => ({ count, high, low }))
const announce = fc
  .record({
    isReset: fc.boolean(),
    regionalSeconds: fc.nat({ max: 0xffff }),
    added: keys,
    removed: keys,
  })
  .map(message => ({ type: 'announce' as const, ...message }))
const find = fc
  .array(lookupKey, { minLength: 1, maxLength: 20 })
  .map(asked => ({ type: 'find' as const, keys: asked }))

function isRefused(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof OperationError && error.code === 'peer_message_invalid', `${error}`)
  }
}

describe('directory messages', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.oneof(announce, find), message => {
        assert.deepEqual(decodeDirectoryMessage(encodeDirectoryMessage(message)), message)
      }),
    )
    fc.assert(
      fc.property(fc.boolean(), sum, (isRefusal, held) => {
        const reply = { isRefused: isRefusal, held }
        assert.deepEqual(decodeAnnounceReply(encodeAnnounceReply(reply)), reply)
      }),
    )
    fc.assert(
      fc.property(fc.array(peers, { maxLength: 20 }), answers => {
        assert.deepEqual(decodeFindReply(encodeFindReply(answers), answers.length), answers)
      }),
    )
  })

  it('may lie anywhere in a larger buffer', () => {
    fc.assert(
      fc.property(announce, fc.nat(9), (message, offset) => {
        const bytes = encodeDirectoryMessage(message)
        const larger = new Uint8Array(bytes.length + 20)
        larger.set(bytes, offset)
        const view = larger.subarray(offset, offset + bytes.length)
        assert.deepEqual(decodeDirectoryMessage(view), message)
      }),
    )
  })

  it('bytes at random, changed, cut or lengthened are refused and nothing else', () => {
    const valid = fc.oneof(announce, find).map(encodeDirectoryMessage)
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.nat(40), more: fc.nat(40) })
    fc.assert(
      fc.property(fc.oneof(valid, fc.uint8Array()), change, (bytes, { at, byte, cut, more }) => {
        const changed = Uint8Array.from([
          ...bytes.subarray(0, Math.max(bytes.length - cut, 0)),
          ...new Uint8Array(more),
        ])
        if (changed.length > 0) changed[at % changed.length] = byte
        isRefused(() => decodeDirectoryMessage(changed))
        isRefused(() => decodeAnnounceReply(changed))
        isRefused(() => decodeFindReply(changed, at % 30))
      }),
    )
    fc.assert(
      fc.property(fc.array(peers), change, (answers, { at, byte, cut }) => {
        const bytes = encodeFindReply(answers)
        const changed = bytes.slice(0, Math.max(bytes.length - cut, 0))
        if (changed.length > 0) changed[at % changed.length] = byte
        isRefused(() => decodeFindReply(changed, answers.length))
      }),
    )
  })

  it('counts are checked before memory is taken', () => {
    const huge = Buffer.alloc(64, 0xff)
    for (const type of [1, 2]) {
      huge[0] = type
      assert.throws(() => decodeDirectoryMessage(huge), { code: 'peer_message_invalid' })
      assert.throws(() => decodeFindReply(huge, 1), { code: 'peer_message_invalid' })
    }
    const [key] = fc.sample(lookupKey, { numRuns: 1, seed: 1 })
    assert.ok(key)
    const tooMany = (count: number): (typeof key)[] => Array.from({ length: count + 1 }, () => key)
    const added = tooMany(directoryAnnounceKeysMax)
    const messages = [
      { type: 'find', keys: [] },
      { type: 'find', keys: tooMany(directoryFindKeysMax) },
      { type: 'announce', isReset: false, regionalSeconds: 0, added, removed: [] },
      {
        type: 'announce',
        isReset: false,
        regionalSeconds: 0,
        added: added.slice(1),
        removed: [key],
      },
    ] as const
    for (const message of messages) {
      const bytes = encodeDirectoryMessage(message)
      assert.throws(() => decodeDirectoryMessage(bytes), { code: 'peer_message_invalid' })
    }
  })

  it('a key sum tells sets apart, whatever the order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(lookupKey, { minLength: 2, maxLength: 20 }), set => {
        const all = set.reduce(addToSum, emptyKeySum)
        assert.ok(isSameSum(set.toReversed().reduce(addToSum, emptyKeySum), all))
        const [first = fail(), ...rest] = set
        assert.ok(isSameSum(removeFromSum(all, first), rest.reduce(addToSum, emptyKeySum)))
        assert.ok(!isSameSum(removeFromSum(all, first), all))
        assert.deepEqual(set.reduce(removeFromSum, all), emptyKeySum)
      }),
    )
  })
})

function fail(): never {
  throw new assert.AssertionError({ message: 'there is none' })
}
