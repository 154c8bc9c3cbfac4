import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { StopStrings } from './stop-strings.ts'

function scan(stops: readonly string[], pieces: readonly string[]): [string, string | undefined] {
  const scanner = new StopStrings(stops)
  let seen = ''
  for (const piece of pieces) {
    const { text, stopSequence } = scanner.push(piece)
    seen += text
    if (stopSequence !== undefined) return [seen, stopSequence]
  }
  return [seen + scanner.end(), undefined]
}

describe('StopStrings', () => {
  it('cuts before a stop string, even one that arrives in pieces', () => {
    assert.deepEqual(scan(['END'], ['abcE', 'N', 'Dxyz']), ['abc', 'END'])
  })

  it('never shows what might be the beginning of one, and shows it when it was none', () => {
    const scanner = new StopStrings(['\n\nHuman:'])
    assert.deepEqual(scanner.push('Hi\n\nHu'), { text: 'Hi' })
    assert.deepEqual(scanner.push('go'), { text: '\n\nHugo' })
    assert.deepEqual(scanner.push('\n'), { text: '' })
    assert.equal(scanner.end(), '\n')
  })

  it('takes the stop string that ends first, of those the longest', () => {
    assert.deepEqual(scan(['abcd', 'bc'], ['xabcd']), ['xa', 'bc'])
    assert.deepEqual(scan(['c', 'bc'], ['abc']), ['a', 'bc'])
  })

  it('gives the same answer for every cut of the text', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 24 })
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(text), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
        assert.deepEqual(scan(stops, pieces), scan(stops, [pieces.join('')]))
      }),
    )
  })
})
