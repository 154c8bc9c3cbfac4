import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import picocolors from 'picocolors'
import { dataFolderPaths } from '../../data-folder.ts'
import { CapturedTerminal } from '../captured-terminal.ts'
import { runCli } from '../program.ts'
import { prettyLogLine } from './pretty-log-line.ts'

let data: string
let file: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'hs-logs-'))
  file = dataFolderPaths(data).logFile
  mkdirSync(dirname(file), { recursive: true })
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

async function tail(...args: readonly string[]): Promise<string> {
  const terminal = new CapturedTerminal()
  assert.equal(await runCli(['logs', '--data', data, ...args], terminal), 0)
  return terminal.out
}

describe('logs', () => {
  test('prints the last lines of a log that is larger than what is read at once', async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => `{"msg":"line ${index} ä"}\n`)
    writeFileSync(file, lines.join(''))
    assert.equal(await tail('-n', '3'), lines.slice(-3).join(''))
    assert.equal(await tail('-n', '4000'), lines.slice(-4_000).join(''))
    assert.equal(await tail('-n', '0'), '')
    assert.equal(await tail('-n', '9999'), lines.join(''))
  })

  test('--follow goes on through appends and a turned file, and ends with Ctrl-C', async () => {
    writeFileSync(file, 'one\ntwo\n')
    const terminal = new CapturedTerminal()
    const ended = runCli(['logs', '-f', '-n', '1', '--data', data], terminal)
    await terminal.seen(/^two\n$/)
    appendFileSync(file, 'thr')
    appendFileSync(file, 'ee\n')
    await terminal.seen(/three\n$/)
    renameSync(file, `${file}.1`)
    writeFileSync(file, 'four\n')
    await terminal.seen(/four\n$/)
    terminal.raise('SIGINT')
    assert.equal(await ended, 0)
    assert.equal(terminal.out, 'two\nthree\nfour\n')
  })
})

test('prettyLogLine() shows time, level, event and fields, and is safe to print', () => {
  const colors = picocolors.createColors(false)
  const line = {
    level: 'warn',
    time: 'T',
    msg: 'store full',
    free: 5,
    error: { message: 'no\u001b' },
  }
  assert.equal(
    prettyLogLine(JSON.stringify(line), colors),
    'T warn  store full free=5 error=no\ufffd',
  )
  assert.equal(prettyLogLine('half a li', colors), 'half a li')
})
