import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { openLog } from './log.ts'

function folder(test: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hyperspace-log-'))
  test.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function linesOf(file: string): readonly { readonly msg: string; readonly count: number }[] {
  const text = readFileSync(file, 'utf8').trim()
  return text === '' ? [] : text.split('\n').map(line => JSON.parse(line))
}

describe('openLog()', () => {
  it('writes JSON lines of its level and above, with the fields of its children', async test => {
    const file = join(folder(test), 'logs', 'node.log')
    const { log, close } = openLog({ file, level: 'info' })
    log.debug('not this')
    log.child({ component: 'store' }).warn('store full', { bytes: 3 })
    await close()
    const [line, ...rest] = linesOf(file)
    assert.deepEqual(rest, [])
    assert.deepEqual(
      { ...line, time: undefined },
      { level: 'warn', component: 'store', bytes: 3, msg: 'store full', time: undefined },
    )
  })

  it('keeps at most two files of its maximum, and goes on in a new one while it runs', async test => {
    const file = join(folder(test), 'node.log')
    const bytesMax = 10_000
    for (let round = 0; round < 3; round++) {
      const { log, close } = openLog({ file, level: 'info', bytesMax })
      for (let count = 0; count < 60; count++) log.info('line written', { count, round })
      await close()
    }
    const oneRound = 60 * 100
    assert.ok(statSync(file).size <= bytesMax + oneRound)
    assert.ok(statSync(`${file}.1`).size <= bytesMax + oneRound)
    const last = [...linesOf(`${file}.1`), ...linesOf(file)].at(-1)
    assert.equal(last?.count, 59, 'the last line is there')
  })
})
