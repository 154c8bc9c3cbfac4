import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KiB } from '../limits.ts'
import {
  blockBytes,
  bytesPerToken,
  type LayerLayout,
  layoutFault,
  layoutName,
  type StateLayout,
} from './state-layout.ts'

const layout = (layers: readonly LayerLayout[], settings = 's'): StateLayout => ({
  layers,
  settings,
})
const layer = (keyBytes: number, valueBytes: number): LayerLayout => ({ keyBytes, valueBytes })

describe('layouts of KV state', () => {
  it('blockBytes() is that of 128 tokens', () => {
    // SmolLM2-135M: 30 layers, 3 heads of 64 numbers (research/engine.md §3).
    const small = layout(Array.from({ length: 30 }, () => layer(384, 384)))
    assert.equal(bytesPerToken(small), 23_040)
    assert.equal(blockBytes(small), 2_949_120)
    assert.equal(layoutFault(small), undefined)
  })

  it('layoutName() tells layouts of equal size apart', () => {
    const names = [
      layout([layer(2, 4)]),
      layout([layer(4, 2)]),
      layout([layer(2, 0), layer(2, 2)]),
      layout([layer(2, 2), layer(2, 0)]),
      layout([layer(2, 4)], 't'),
    ].map(layoutName)
    assert.equal(new Set(names).size, names.length)
  })

  it('layoutFault() takes what fits in a block, and says why the rest does not', () => {
    const seventyB = layout(Array.from({ length: 80 }, () => layer(2_048, 2_048)))
    assert.equal(layoutFault(seventyB), undefined)
    assert.equal(layoutFault(layout([layer(1_152, 0)])), undefined)
    const faults: readonly (readonly [RegExp, StateLayout])[] = [
      [/no layers/, layout([])],
      [/more than 512/, layout(Array.from({ length: 513 }, () => layer(2, 2)))],
      [/half-precision/, layout([layer(3, 2)])],
      [/half-precision/, layout([layer(0, 0)])],
      [/half-precision/, layout([layer(-2, 4)])],
      [/half-precision/, layout([layer(Number.NaN, 4)])],
      [/a block of it has/, layout([layer(393_216, 2)])],
      [/settings/, layout([layer(2, 2)], 'x'.repeat(KiB + 1))],
      [/Unicode/, layout([layer(2, 2)], '\udc00')],
    ]
    for (const [why, given] of faults) assert.match(layoutFault(given) ?? '', why)
  })
})
