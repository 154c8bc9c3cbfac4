import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  type Exchange,
  startTestUpstream,
  type TestUpstream,
} from '../../../../test/support/test-upstream.ts'
import { systemClock } from '../../../std/clock.ts'
import { SeededRandom } from '../../../std/seeded-random.ts'
import { UpstreamHttp } from '../http/upstream-http.ts'
import { SlotFiles } from './slot-files.ts'

const { signal } = new AbortController()

/** A server that answers as the case wants, and does to the file what the case wants. */
describe('SlotFiles with a hostile llama-server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-slot-files-'))
  const outside = join(folder, 'outside')
  const running: { upstream?: TestUpstream; http?: UpstreamHttp } = {}
  let act: (path: string, exchange: Exchange) => void = () => undefined

  before(async () => {
    const route = (exchange: Exchange): void => {
      act(join(folder, String(exchange.body['filename'])), exchange)
      if (!exchange.response.writableEnded) exchange.json({ id_slot: 0 })
    }
    running.upstream = await startTestUpstream({
      'POST /slots/0?action=save': route,
      'POST /slots/0?action=restore': route,
    })
    running.http = new UpstreamHttp(systemClock, {
      name: 'hostile',
      url: running.upstream.url,
      connectTimeoutMs: 5_000,
      idleTimeoutMs: 5_000,
    })
    running.http.open()
  })
  after(async () => {
    await running.http?.close()
    await running.upstream?.stop()
    rmSync(folder, { recursive: true })
  })
  const files = (): SlotFiles => {
    assert.ok(running.http)
    return new SlotFiles(running.http, folder, new SeededRandom(1))
  }
  const saves = async (
    what: typeof act,
    expected: { readonly code: string; readonly message: RegExp },
  ): Promise<void> => {
    act = what
    await assert.rejects(files().save(0, signal), expected)
    assert.deepEqual(readdirSync(folder), ['outside'], 'no file is left')
  }

  it('save() takes nothing but a plain file of a slot', async () => {
    writeFileSync(outside, 'not the node’s to read')
    const failed = 'upstream_failed'
    await saves(() => undefined, { code: failed, message: /another folder/ })
    await saves(path => writeFileSync(path, 'GGUF'), { code: 'block_invalid', message: /used/ })
    await saves(path => symlinkSync(outside, path), { code: failed, message: /another folder/ })
    await saves(path => execFileSync('mkfifo', [path]), { code: failed, message: /plain file/ })
    await saves(
      path => {
        writeFileSync(path, '')
        truncateSync(path, 2 ** 40)
      },
      { code: failed, message: /absurd size/ },
    )
  })

  it('save() and restore() believe no reply that confirms something else', async () => {
    for (const reply of [{ id_slot: 1 }, { id_slot: '0' }, [], null, 'saved']) {
      await saves((_path, exchange) => exchange.json(reply), {
        code: 'upstream_failed',
        message: /did not confirm/,
      })
      await assert.rejects(files().restore(0, [new Uint8Array(3)], signal), {
        code: 'upstream_failed',
      })
      assert.deepEqual(readdirSync(folder), ['outside'])
    }
  })

  it('restore() hands the server the pieces as they are, and takes the file back', async () => {
    let seen = 0
    act = () => {
      seen = readdirSync(folder).length
    }
    await files().restore(0, [Uint8Array.of(1, 2), Uint8Array.of(3)], signal)
    assert.deepEqual([seen, readdirSync(folder)], [2, ['outside']])
  })
})
