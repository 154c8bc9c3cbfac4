import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ModelId } from '../../key/model-id.ts'
import { encodeEmbeddings, parseEmbeddings } from './embeddings.ts'
import { encodeModel, encodeModelList, type ModelCard } from './models.ts'

describe('parseEmbeddings()', () => {
  it('takes one or several inputs, as text or token ids', () => {
    const cases: readonly [input: unknown, inputs: unknown][] = [
      ['a', ['a']],
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
      [[1, 2], [[1, 2]]],
      [
        [[1, 2], [3]],
        [[1, 2], [3]],
      ],
    ]
    for (const [input, inputs] of cases) {
      const body = JSON.parse(JSON.stringify({ model: 'm', input, user: 'u' }))
      assert.deepEqual(parseEmbeddings(body), {
        model: 'm',
        inputs,
        encoding: 'float',
        warnings: [],
      })
    }
  })

  it('refuses what is empty, too long or of another type', () => {
    for (const input of ['', [], [''], [[]], [-1], [1.5], [['a']], 7, Array(2_049).fill('a')]) {
      const body = JSON.parse(JSON.stringify({ model: 'm', input }))
      assert.throws(() => parseEmbeddings(body), /'input' must be a string, an array of token ids/)
    }
    assert.throws(() => parseEmbeddings({ model: 'm', input: 'a', dimensions: 0 }), /'dimensions'/)
    assert.throws(
      () => parseEmbeddings({ model: 'm', input: 'a', encoding_format: 'hex' }),
      /one of 'float', 'base64'/,
    )
  })
})

describe('encodeEmbeddings()', () => {
  const vectors = [Float32Array.of(1, -0.5), Float32Array.of(0.1, 2)]
  const embeddings = { vectors, promptTokens: 3 }

  it('writes numbers', () => {
    const request = parseEmbeddings({ model: 'm', input: ['a', 'b'] })
    assert.deepEqual(JSON.parse(encodeEmbeddings(request, embeddings)), {
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [1, -0.5] },
        { object: 'embedding', index: 1, embedding: [Math.fround(0.1), 2] },
      ],
      model: 'm',
      usage: { prompt_tokens: 3, total_tokens: 3 },
    })
  })

  it('writes base64 of little-endian float32', () => {
    const body = { model: 'm', input: ['a', 'b'], encoding_format: 'base64', dimensions: 2 }
    const request = parseEmbeddings(body)
    assert.equal(request.dimensions, 2)
    const { data } = JSON.parse(encodeEmbeddings(request, embeddings))
    assert.equal(data[0].embedding, 'AACAPwAAAL8=')
  })
})

describe('encodeModelList()', () => {
  const model: ModelCard = {
    id: 'name:tiny' as ModelId,
    name: 'tiny',
    aliases: ['t'],
    contextTokens: 2_048,
    capabilities: { chat: true, text: true, embeddings: false, developerRole: true },
    numericClass: 'upstream',
    details: { origin: 'embedded', bytes: 5 },
  }

  it('tells the window and what else is known', () => {
    const expected = {
      id: 'tiny',
      object: 'model',
      created: 9,
      owned_by: 'hyperspace',
      context_length: 2_048,
      meta: {
        model_id: 'name:tiny',
        aliases: ['t'],
        capabilities: ['chat', 'text'],
        origin: 'embedded',
        size: 5,
        quantization: null,
        parameters: null,
        numeric_class: 'upstream',
      },
    }
    assert.deepEqual(JSON.parse(encodeModelList([model], 9)), { object: 'list', data: [expected] })
    assert.deepEqual(JSON.parse(encodeModel(model, 9)), expected)
  })
})
