import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { toolArguments, toolInput } from './tool-input.ts'

describe('toolInput()', () => {
  it('reads objects, and takes no arguments for an empty object', () => {
    assert.deepEqual(toolInput('{ "city": "Oslo" }'), { city: 'Oslo' })
    assert.deepEqual(toolInput(''), {})
    assert.deepEqual(toolInput(' \n'), {})
  })

  it('wraps what is no object, and a client that sends it back is understood', () => {
    for (const text of ['{"city": "Os', '[1]', '"x"', 'null', 'Oslo']) {
      const input = toolInput(text)
      assert.deepEqual(input, { INVALID_JSON: text })
      assert.equal(toolArguments(input), text)
    }
  })

  it("and toolArguments() are each other's inverse for compact JSON", () => {
    const property = fc.property(fc.dictionary(fc.string(), fc.jsonValue()), object => {
      const text = JSON.stringify(object)
      fc.pre(Object.keys(object).join() !== 'INVALID_JSON')
      assert.equal(toolArguments(toolInput(text)), text)
    })
    fc.assert(property)
  })
})
