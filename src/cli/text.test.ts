import assert from 'node:assert/strict'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import picocolors from 'picocolors'
import { OperationError } from '../errors.ts'
import { closest } from './closest.ts'
import { dataFolderOf } from './default-data.ts'
import { describeError, exitCodeOf, UsageError } from './exit-code.ts'
import { bytesText, plural, printable, secondsText, table } from './format.ts'
import { progressText } from './models/progress-line.ts'
import { wantsColors } from './terminal.ts'

test('table() lines columns up, whatever their colours, without trailing space', () => {
  const { red } = picocolors.createColors(true)
  const text = table(
    [
      ['A', 'N', ''],
      [red('long'), '10', ''],
      ['x', '5', 'y'],
    ],
    new Set([1]),
  )
  assert.equal(text, `A      N\n${red('long')}  10\nx      5  y\n`)
})

test('bytesText() and secondsText() use one unit', () => {
  const sizes = [0, 1023, 1024, 1536, 10 * 1024, 5 * 1024 ** 2, 2.5 * 1024 ** 3]
  assert.deepEqual(sizes.map(bytesText), [
    '0 B',
    '1023 B',
    '1.0 KB',
    '1.5 KB',
    '10 KB',
    '5.0 MB',
    '2.5 GB',
  ])
  const durations = [0.056, 1.5, 42, 120, 7200, 30 * 86_400]
  assert.deepEqual(durations.map(secondsText), ['56 ms', '1.5 s', '42 s', '2 min', '2 h', '30 d'])
})

test('plural() counts', () => {
  assert.deepEqual(
    [0, 1, 1234].map(count => plural(count, 'hit')),
    ['0 hits', '1 hit', '1,234 hits'],
  )
})

test('printable() lets no control character of a stranger reach the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\nc\u009bd'), 'a\ufffd[2Jb c\ufffdd')
})

test('closest() finds what was meant, and nothing for noise', () => {
  const names = ['maxDisk', 'maxMemory', 'model', 'port']
  assert.deepEqual(closest('maxdsk', names), ['maxDisk'])
  assert.equal(closest('prot', names)[0], 'port')
  assert.deepEqual(closest('zzzzzzzz', names), [])
})

test('exitCodeOf() follows the documented table', () => {
  const failed = (code: ConstructorParameters<typeof OperationError>[0]): number =>
    exitCodeOf(new OperationError(code, 'x', { origin: 'self' }))
  assert.equal(failed('data_folder_locked'), 1)
  assert.equal(failed('config_invalid'), 2)
  assert.equal(exitCodeOf(new UsageError('x')), 2)
  assert.equal(failed('node_not_running'), 3)
  assert.equal(failed('download_failed'), 4)
  assert.equal(failed('record_invalid'), 5)
  assert.equal(exitCodeOf(new DOMException('x', 'AbortError')), 130)
  assert.equal(exitCodeOf(new TypeError('x')), 1)
})

test('describeError() shows a stack for defects only', () => {
  const foreseen = new OperationError('store_failed', 'The disk is full', { origin: 'store' })
  assert.equal(describeError(foreseen), 'The disk is full')
  assert.match(describeError(new TypeError('oops')), /defect.*\n.*oops\n\s+at /)
})

test('dataFolderOf() prefers the flag, then the environment, then the usual place', () => {
  const env = { HYPERSPACE_DATA: '/from/env' }
  assert.equal(dataFolderOf('rel', env), resolve('rel'))
  assert.equal(dataFolderOf('~/x', env), join(homedir(), 'x'))
  assert.equal(dataFolderOf(undefined, env), '/from/env')
  assert.match(dataFolderOf(undefined, { HYPERSPACE_DATA: '' }), /hyperspace$/)
  assert.throws(() => dataFolderOf('', env), UsageError)
})

test('wantsColors() respects NO_COLOR, FORCE_COLOR and dumb terminals', () => {
  assert.equal(wantsColors({}, true), true)
  assert.equal(wantsColors({}, false), false)
  assert.equal(wantsColors({ NO_COLOR: '1', FORCE_COLOR: '1' }, true), false)
  assert.equal(wantsColors({ FORCE_COLOR: '1' }, false), true)
  assert.equal(wantsColors({ TERM: 'dumb' }, true), false)
})

test('progressText() fits the width and tells share, size, rate and time left', () => {
  const progress = { receivedBytes: 512 * 1024, totalBytes: 1024 * 1024, bytesPerSecond: 64 * 1024 }
  const text = progressText('Downloading', progress, 80)
  assert.ok(text.length <= 80)
  assert.match(text, /^Downloading {2}50% ▕█+ +▏ 512 KB of 1\.0 MB, 64 KB\/s, 8\.0 s left$/)
  for (const columns of [1, 20, 40, 200]) {
    assert.ok(progressText('Downloading', progress, columns).length <= columns, `${columns}`)
  }
  const unknown = { receivedBytes: 5, totalBytes: undefined, bytesPerSecond: 0 }
  assert.equal(progressText('Downloading', unknown, 80), 'Downloading  5 B')
})
