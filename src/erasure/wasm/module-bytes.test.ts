import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32Add, i32Const, localGet, v128Load, v128Store } from './instructions.ts'
import { moduleBytes } from './module-bytes.ts'
import { instantiate, isSupported } from './web-assembly.ts'

/** `(source, target)`: copies 16 bytes to four behind the target. */
const copy = {
  name: 'copy',
  i32Parameters: 2,
  i32Locals: 0,
  v128Locals: 0,
  body: [...localGet(1), ...localGet(0), ...v128Load(0), ...v128Store(4)],
}

describe('moduleBytes()', () => {
  it('makes a module that runs', () => {
    const { memory, function: functionOf } = instantiate(moduleBytes([copy], 2))
    const bytes = new Uint8Array(memory.buffer)
    bytes.fill(7, 0, 16)
    functionOf('copy')(0, 32)
    assert.deepEqual([...bytes.subarray(34, 38)], [0, 0, 7, 7])
    assert.equal(memory.buffer.byteLength, 2 * 65_536)
  })

  it('makes none that the engine takes when the code is wrong', () => {
    const body = [...i32Const(1), ...i32Add]
    assert.equal(isSupported(moduleBytes([{ ...copy, body }], 1)), false)
    assert.equal(isSupported(moduleBytes([copy], 1)), true)
  })

  it('has no function that was not written', () => {
    assert.throws(() => instantiate(moduleBytes([copy], 1)).function('paste'), TypeError)
  })
})
