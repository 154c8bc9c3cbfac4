import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenBytes } from './token-bytes.ts'

const unknown = (): string => '?'

describe('TokenBytes', () => {
  it('spells byte-level tokens, also halves of characters', () => {
    // 'Ã' and '©' are the letters of the bytes C3 and A9: together they are é.
    const tokens = new TokenBytes(
      { model: 'gpt2', tokens: ['Ġof', 'Ã', '©', 'Ċ', '<|im_end|>'], tokenTypes: [1, 1, 1, 1, 3] },
      unknown,
    )
    assert.deepEqual([...tokens.bytesOf(1)], [0xc3])
    assert.equal(tokens.textOf([0, 1, 2, 3, 4]), ' of\u00e9\n<|im_end|>')
    assert.equal(tokens.textOf([1]), '\ufffd')
    assert.deepEqual(tokens.controlTexts(), ['<|im_end|>'])
  })

  it('gives every byte exactly one letter', () => {
    const seen = new Set<number>()
    for (let code = 0x21; code < 0x144; code++) {
      const metadata = { model: 'gpt2', tokens: [String.fromCodePoint(code)], tokenTypes: [1] }
      const bytes = new TokenBytes(metadata, unknown).bytesOf(0)
      if (bytes.length === 1) seen.add(bytes[0] ?? -1)
    }
    assert.equal(seen.size, 256)
  })

  it('spells SentencePiece tokens and byte tokens', () => {
    const tokens = new TokenBytes(
      {
        model: 'llama',
        tokens: ['\u2581Once', '<0xE2>', '<0x41>', '</s>'],
        tokenTypes: [1, 6, 1, 3],
      },
      unknown,
    )
    assert.equal(tokens.textOf([0]), ' Once')
    assert.deepEqual([...tokens.bytesOf(1)], [0xe2])
    assert.equal(tokens.textOf([2]), '<0x41>')
  })

  it('asks the engine for what it cannot spell', () => {
    const tokens = new TokenBytes({ model: 'bert', tokens: ['##ing'], tokenTypes: [1] }, unknown)
    assert.equal(tokens.textOf([0, 7]), '??')
  })
})
