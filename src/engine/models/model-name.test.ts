import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OperationError } from '../../errors.ts'
import { hubFileName, namesOfFile, parseModelReference } from './model-name.ts'

describe('parseModelReference()', () => {
  it('takes the forms of the hub', () => {
    const hub = { kind: 'hub', org: 'bartowski', repo: 'Llama-3.2-1B-Instruct-GGUF' }
    const name = 'bartowski/Llama-3.2-1B-Instruct-GGUF'
    for (const prefix of ['hf:', 'hf://', 'hf.co/', 'https://huggingface.co/', 'HF:']) {
      assert.deepEqual(parseModelReference(`${prefix}${name}`), { ...hub, tag: undefined })
      assert.deepEqual(parseModelReference(`${prefix}${name}:Q4_K_M`), { ...hub, tag: 'Q4_K_M' })
    }
  })

  it('takes the address of a file', () => {
    const reference = parseModelReference('https://example.com/a/Model.Q8_0.gguf?download=true')
    assert.ok(reference.kind === 'url')
    assert.equal(reference.url.href, 'https://example.com/a/Model.Q8_0.gguf?download=true')
    assert.equal(parseModelReference('http://localhost:8000/m.gguf').kind, 'url')
  })

  it('refuses everything else with the forms that there are', () => {
    const refused = [
      'llama3',
      'hf:llama3',
      'hf:a/b/c',
      'hf:a/b:c:d',
      'hf:../etc:Q8_0',
      'hf:a/..:Q8_0',
      'hf:a--b/c',
      'hf:a/b:../../x',
      'hf:a/b:',
      'https://example.com/model.bin',
      'http://example.com/m.gguf',
      'https://me:secret@example.com/m.gguf',
      'https://example.com/..%2f..%2fm.gguf',
      'https://example.com/.gguf',
      '',
    ]
    for (const text of refused) {
      assert.throws(
        () => parseModelReference(text),
        (error: unknown) =>
          error instanceof OperationError &&
          error.code === 'request_invalid' &&
          !error.message.includes('secret'),
        text,
      )
    }
  })

  it('never makes a file name that leaves the folder', () => {
    const piece = fc.constantFrom(
      'hf:',
      'a',
      'B1',
      '/',
      '..',
      '--',
      ':',
      '.',
      '-',
      '\\',
      '\0',
      '%2f',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
        try {
          const reference = parseModelReference(pieces.join(''))
          if (reference.kind === 'url') return
          const name = hubFileName(reference.org, reference.repo, reference.tag)
          assert.match(name, /^[A-Za-z0-9_][A-Za-z0-9._-]*\.gguf$/)
        } catch (error) {
          assert.ok(error instanceof OperationError)
        }
      }),
    )
  })
})

describe('namesOfFile()', () => {
  it('is the inverse of hubFileName()', () => {
    assert.equal(namesOfFile(hubFileName('a', 'b-GGUF', 'Q8_0')).name, 'a/b-GGUF:Q8_0')
    assert.equal(namesOfFile(hubFileName('a', 'b', undefined)).name, 'a/b')
    assert.equal(namesOfFile(hubFileName('a', 'b', 'x--y')).name, 'a/b:x--y')
  })

  it('names other files by their stem', () => {
    assert.deepEqual(namesOfFile('model.gguf'), { name: 'model', aliases: [] })
    assert.deepEqual(namesOfFile('Model.GGUF'), { name: 'Model', aliases: ['model'] })
  })
})
