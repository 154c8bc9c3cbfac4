import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../../errors.ts'
import { chooseHubFile, type HubFile, labelOf, modelFilesOf } from './hub-files.ts'

const filesOf = (...paths: readonly string[]): readonly HubFile[] =>
  modelFilesOf({ siblings: paths.map(rfilename => ({ rfilename, size: 1 })) })

const chosen = (files: readonly HubFile[], tag?: string): string =>
  chooseHubFile(files, 'org/repo', tag).path

describe('modelFilesOf()', () => {
  it('reads size and digest of the models only', () => {
    const sha256 = 'AB'.repeat(32)
    const siblings = [
      { rfilename: 'README.md', size: 3 },
      { rfilename: 'mmproj-F16.gguf', size: 3 },
      { rfilename: 'model.imatrix.gguf', size: 3 },
      { rfilename: 'M-Q8_0.gguf', size: 7, lfs: { sha256, size: 7 } },
      { rfilename: 'BF16/M-BF16-00001-of-00003.gguf', lfs: { size: 9 } },
    ]
    assert.deepEqual(modelFilesOf({ siblings }), [
      {
        path: 'M-Q8_0.gguf',
        bytes: 7,
        sha256: sha256.toLowerCase(),
        quant: 'Q8_0',
        partCount: 1,
      },
      {
        path: 'BF16/M-BF16-00001-of-00003.gguf',
        bytes: 9,
        sha256: undefined,
        quant: 'BF16',
        partCount: 3,
      },
    ])
  })

  it('reads the quantisation off names as they are found on the hub', () => {
    const cases: readonly (readonly [string, string | undefined])[] = [
      ['Llama-3.2-1B-Instruct-Q4_K_M.gguf', 'Q4_K_M'],
      ['qwen2.5-0.5b-instruct-q4_k_m.gguf', 'Q4_K_M'],
      ['tinyllama-1.1b-chat-v1.0.Q5_K_S.gguf', 'Q5_K_S'],
      ['Phi-3-mini-4k-instruct-q4.gguf', 'Q4'],
      ['Phi-3-mini-4k-instruct-fp16.gguf', 'FP16'],
      ['gpt-oss-20b-mxfp4.gguf', 'MXFP4'],
      ['Qwen3-0.6B-UD-Q4_K_XL.gguf', 'UD-Q4_K_XL'],
      ['Model.i1-IQ3_XXS.gguf', 'IQ3_XXS'],
      ['Model-Q4_0_4_4.gguf', 'Q4_0_4_4'],
      ['Model-Q6_K_L.gguf', 'Q6_K_L'],
      ['Model-TQ1_0.gguf', 'TQ1_0'],
      ['Q8_0/model.gguf', 'Q8_0'],
      ['Model-Q4_K_M-imat.gguf', 'Q4_K_M'],
      ['ggml-model.gguf', undefined],
      ['FQ8-thing.gguf', undefined],
    ]
    for (const [path, quant] of cases) assert.equal(filesOf(path)[0]?.quant, quant, path)
  })

  it('refuses paths that lead out and sizes that cannot be', () => {
    for (const path of [
      '../x.gguf',
      'a/../x.gguf',
      '/etc/x.gguf',
      'a\\x.gguf',
      'a\0.gguf',
      './x.gguf',
    ]) {
      assert.throws(() => filesOf(path), { code: 'download_failed' }, path)
    }
    for (const size of [-1, 0, 0.5, 1e300, '7']) {
      const siblings = [{ rfilename: 'x.gguf', size }]
      assert.throws(() => modelFilesOf({ siblings }), { code: 'download_failed' }, String(size))
    }
  })

  it('throws nothing but OperationError, whatever the hub replies', () => {
    const sibling = fc.record(
      {
        rfilename: fc.oneof(fc.string(), fc.constant('a-Q8_0.gguf')),
        size: fc.anything(),
        lfs: fc.anything(),
      },
      { requiredKeys: [] },
    )
    const reply = fc.oneof(
      fc.anything(),
      fc.record({ siblings: fc.array(fc.oneof(sibling, fc.anything())) }),
    )
    fc.assert(
      fc.property(reply, fc.option(fc.string(), { nil: undefined }), (value, tag) => {
        try {
          chooseHubFile(modelFilesOf(value), 'org/repo', tag)
        } catch (error) {
          assert.ok(error instanceof OperationError, String(error))
        }
      }),
    )
  })
})

describe('chooseHubFile()', () => {
  const files = filesOf('M-F16.gguf', 'M-Q8_0.gguf', 'M-Q4_K_M.gguf', 'M-IQ2_M.gguf')

  it('prefers Q4_K_M, then Q8_0, then what there is', () => {
    assert.equal(chosen(files), 'M-Q4_K_M.gguf')
    assert.equal(chosen(filesOf('M-F16.gguf', 'M-Q8_0.gguf')), 'M-Q8_0.gguf')
    assert.equal(chosen(filesOf('odd-IQ1_S.gguf')), 'odd-IQ1_S.gguf')
    assert.equal(chosen(filesOf('model.gguf')), 'model.gguf')
  })

  it('takes a quantisation or a file name, case-blind', () => {
    assert.equal(chosen(files, 'q8_0'), 'M-Q8_0.gguf')
    assert.equal(chosen(files, 'm-f16'), 'M-F16.gguf')
    assert.equal(chosen(files, 'M-F16.gguf'), 'M-F16.gguf')
  })

  it('lists what there is when the asked one is missing', () => {
    assert.throws(() => chosen(files, 'Q5_K_M'), {
      code: 'model_not_found',
      message: "org/repo has no 'Q5_K_M'. Available: F16, IQ2_M, Q4_K_M, Q8_0",
    })
    assert.throws(() => chosen([]), { code: 'model_not_found', message: /holds no GGUF file/ })
  })

  it('asks for the file name when a repository has several models', () => {
    const two = filesOf('a-Q8_0.gguf', 'b-Q8_0.gguf')
    assert.throws(() => chosen(two, 'Q8_0'), { message: /name one of a-Q8_0, b-Q8_0/ })
    assert.equal(chosen(two, 'b-Q8_0'), 'b-Q8_0.gguf')
    assert.deepEqual(
      two.map(file => labelOf(file, two)),
      ['a-Q8_0', 'b-Q8_0'],
    )
  })

  it('refuses a model in parts and names what is whole', () => {
    const parts = ['B-Q8_0-00001-of-00002.gguf', 'B-Q8_0-00002-of-00002.gguf']
    const mixed = filesOf(...parts, 'B-IQ2_M.gguf')
    assert.throws(() => chosen(mixed, 'Q8_0'), {
      code: 'unsupported',
      message: /'Q8_0' of org\/repo comes in 2 parts.*In one file: IQ2_M/,
    })
    assert.equal(chosen(mixed), 'B-IQ2_M.gguf')
    assert.throws(() => chosen(filesOf(...parts)), { code: 'unsupported' })
  })
})
