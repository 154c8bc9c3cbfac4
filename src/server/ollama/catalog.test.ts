import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EngineModel } from '../../interface/engine.ts'
import { modelIdFromDigest, modelIdFromName } from '../../key/model-id.ts'
import { encodeRunning, encodeShow, encodeTags, encodeVersion, parseShow } from './catalog.ts'
import { encodeLoadReply, modelToLoad } from './load.ts'

const never = (): never => {
  throw new Error('The catalogue must not run the model')
}
const digest = 'ab'.repeat(32)
const tiny: EngineModel = {
  id: modelIdFromDigest(digest),
  name: 'tiny',
  aliases: [],
  contextTokens: 2_048,
  capabilities: { chat: true, text: true, embeddings: false, developerRole: false },
  numericClass: 'c',
  speed: {},
  details: { origin: 'embedded', bytes: 5_000, quantization: 'Q8_0', parameters: '15M' },
  generate: never,
  countTokens: never,
  embed: never,
  tokens: undefined,
}
const foreign: EngineModel = {
  ...tiny,
  id: modelIdFromName('big'),
  name: 'big',
  contextTokens: undefined,
  capabilities: { chat: false, text: false, embeddings: true, developerRole: false },
  details: { origin: 'http://127.0.0.1:1' },
}
const options = { modifiedMs: 1_700_000_000_000 }

describe("the catalogue of models in Ollama's form", () => {
  it('lists models with digest, size and details', () => {
    const { models }: { models: { [name: string]: unknown }[] } = JSON.parse(
      encodeTags([tiny, foreign], options),
    )
    assert.deepEqual(models[0], {
      name: 'tiny',
      model: 'tiny',
      size: 5_000,
      digest,
      details: {
        parent_model: '',
        format: 'gguf',
        family: '',
        families: [],
        parameter_size: '15M',
        quantization_level: 'Q8_0',
      },
      modified_at: '2023-11-14T22:13:20.000Z',
    })
    assert.equal(models[1]?.['digest'], '')
    assert.equal(models[1]?.['size'], 0)
  })

  it('shows the context length and what a model can do', () => {
    const shown: { model_info: unknown; capabilities: unknown } = JSON.parse(
      encodeShow(tiny, options),
    )
    assert.deepEqual(shown.capabilities, ['completion', 'tools'])
    assert.deepEqual(shown.model_info, {
      'general.architecture': 'hyperspace',
      'general.basename': 'tiny',
      'hyperspace.context_length': 2_048,
    })
    assert.deepEqual(JSON.parse(encodeShow(foreign, options)).capabilities, ['embedding'])
  })

  it('counts every model as running', () => {
    const { models }: { models: { [name: string]: unknown }[] } = JSON.parse(encodeRunning([tiny]))
    assert.equal(models[0]?.['context_length'], 2_048)
    assert.ok(Date.parse(String(models[0]?.['expires_at'])) > options.modifiedMs)
  })

  it('tells a version that clients accept, and our own', () => {
    const { version, hyperspace }: { version: string; hyperspace: string } = JSON.parse(
      encodeVersion('1.2.3'),
    )
    assert.equal(hyperspace, '1.2.3')
    const [major, minor] = version.split('.').map(Number)
    assert.ok((major ?? 0) > 0 || (minor ?? 0) >= 7, 'VS Code wants 0.6.4 or later')
  })

  it('reads which model is to be shown, under its old and its new name', () => {
    assert.equal(parseShow({ model: 'tiny' }), 'tiny')
    assert.equal(parseShow({ name: 'tiny' }), 'tiny')
    assert.throws(() => parseShow({}), /'model' is missing/)
  })
})

describe('modelToLoad()', () => {
  it('tells loading from asking', () => {
    assert.equal(modelToLoad({ model: 'tiny' }, 'generate'), 'tiny')
    assert.equal(modelToLoad({ model: 'tiny', prompt: '' }, 'generate'), 'tiny')
    assert.equal(modelToLoad({ model: 'tiny', messages: [] }, 'chat'), 'tiny')
    assert.equal(modelToLoad({ model: 'tiny', prompt: 'Hi' }, 'generate'), undefined)
    assert.equal(modelToLoad({ prompt: '' }, 'generate'), undefined)
  })

  it('has a reply that is one finished line', () => {
    const reply = encodeLoadReply({ model: 'tiny', keep_alive: 0 }, 'chat', options.modifiedMs)
    assert.deepEqual(JSON.parse(reply), {
      model: 'tiny',
      created_at: '2023-11-14T22:13:20.000Z',
      message: { role: 'assistant', content: '' },
      done: true,
      done_reason: 'unload',
    })
  })
})
