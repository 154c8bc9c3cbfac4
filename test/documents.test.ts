import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { CapturedTerminal } from '../src/cli/captured-terminal.ts'
import { exitCodes } from '../src/cli/exit-code.ts'
import { runCli } from '../src/cli/program.ts'
import { flagOf, isSettingName, settings } from '../src/config-table.ts'
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

async function help(...words: readonly string[]): Promise<string> {
  const terminal = new CapturedTerminal()
  assert.equal(await runCli([...words, '--help'], terminal), 0, words.join(' '))
  return terminal.out
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

  it('name only commands and flags that there are', async () => {
    const flags = new Set([...Object.keys(settings)].filter(isSettingName).map(flagOf))
    const documents = globSync('{*.md,docs/*.md,spec/*.md}', { cwd: root })
    const examples = documents.flatMap(path => [
      ...read(path).matchAll(/(?:bin\/)?hyperspace ((?:[a-z]+ ?)+)([^`\n|#]*)/g),
    ])
    const topics = await help()
    for (const [line, words = '', rest = ''] of examples) {
      const [command = '', sub = ''] = words.trim().split(' ')
      if (!new RegExp(`^  ${command}\\b`, 'm').test(topics)) continue
      const isGroup = /\nCommands:/.test(await help(command))
      // A group that does something by itself does what its `ls` does.
      const text = await help(command, ...(isGroup ? [sub === '' ? 'ls' : sub] : []))
      for (const [, flag = ''] of rest.matchAll(/(--[a-z][a-z0-9-]+)/g)) {
        assert.ok(text.includes(flag) || flags.has(flag as ReturnType<typeof flagOf>), line)
      }
    }
    assert.ok(examples.length > 20)
  })
})
