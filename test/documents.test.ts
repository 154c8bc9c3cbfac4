import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { exitCodes } from '../src/cli/exit-code.ts'
import { type ErrorCode, OperationError } from '../src/errors.ts'
import { httpStatusOf } from '../src/server/http-status.ts'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const sources = globSync('src/**/*.ts', { cwd: root }).filter(path => !path.endsWith('.test.ts'))

/** First and second cell of the rows of a document's tables whose first cell matches. */
function rows(document: string, first: RegExp): readonly (readonly [string, string])[] {
  return [...read(document).matchAll(/^\| (\S+) +\| ([^|]+?) +\|/gm)].flatMap(
    ([, name = '', value = '']) => (first.test(name) ? [[name, value] as const] : []),
  )
}

describe('docs/errors.md', () => {
  const declared = [...read('src/errors.ts').matchAll(/^ {2}\| '(\w+)'$/gm)].map(
    ([, code]) => code as ErrorCode,
  )

  it('has a row for every code, with its status', () => {
    const documented = rows('docs/errors.md', /^`\w+`$/)
    assert.deepEqual(
      documented.map(([code]) => code.replaceAll('`', '')),
      declared,
    )
    for (const [index, [code, status]] of documented.entries()) {
      const error = new OperationError(declared[index] ?? 'aborted', '', { origin: 'self' })
      if (status !== '–') assert.equal(status.match(/\d+/)?.[0], `${httpStatusOf(error)}`, code)
    }
  })

  it('has no code that nothing uses', () => {
    const isDeclaration = /src\/(errors|server\/http-status|cli\/exit-code)\.ts$/
    const used = sources.filter(path => !isDeclaration.test(path)).map(read)
    const helpers = read('src/errors.ts').replaceAll(/^ {2}\| '\w+'$/gm, '')
    for (const code of declared) {
      assert.ok(
        [...used, helpers].some(text => text.includes(`'${code}'`)),
        code,
      )
    }
  })

  it('has every exit code', () => {
    const documented = rows('docs/errors.md', /^\d+$/).map(([code]) => Number(code))
    assert.deepEqual(documented, Object.values(exitCodes))
  })
})

describe('documents', () => {
  it('that the code and other documents name are there', () => {
    const documents = globSync('{*.md,docs/**/*.md,spec/*.md}', { cwd: root })
    const named = [...sources, ...documents].flatMap(path =>
      [...read(path).matchAll(/\b(?:docs|spec)\/[\w./-]+\.(?:md|json)\b/g)].map(([name]) => name),
    )
    assert.ok(named.length > 0)
    assert.deepEqual(
      named.filter(name => !existsSync(new URL(name, root))),
      [],
    )
  })
})
