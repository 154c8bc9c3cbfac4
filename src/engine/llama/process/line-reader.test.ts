import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { engineLastLinesMax, engineLineMax } from '../../../limits.ts'
import { LineReader } from './line-reader.ts'

describe('LineReader', () => {
  it('cuts pieces into lines and keeps what was only begun', () => {
    const lines: string[] = []
    const reader = new LineReader(line => lines.push(line))
    for (const text of ['one\ntw', 'o\r\n\n', 'GGML_ASSERT(']) reader.push(text)
    assert.deepEqual(lines, ['one', 'two'])
    assert.deepEqual(reader.last, ['one', 'two', 'GGML_ASSERT('])
  })

  it('holds no more than its limits, whatever is written', () => {
    const reader = new LineReader(() => undefined)
    for (let count = 0; count < 100; count++) reader.push('x'.repeat(engineLineMax))
    assert.equal(reader.last.join('').length, engineLineMax)
    for (let count = 0; count < 100; count++) reader.push(`\n${'y'.repeat(engineLineMax * 2)}`)
    assert.equal(reader.last.length, engineLastLinesMax + 1)
    assert.ok(reader.last.every(line => line.length <= engineLineMax))
  })
})
