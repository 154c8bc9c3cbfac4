import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export interface Mount {
  readonly folder: string
  /** Mounts it anew with other options. */
  remount(options: string): void
}

/** A file system of its own, unmounted when the test ends; undefined where mounting is refused. */
export function mountTmpfs(test: TestContext, options: string): Mount | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-mount-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder])
  test.after(() => {
    if (status === 0) spawnSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true, force: true })
  })
  if (status !== 0) {
    test.skip('this account may not mount')
    return undefined
  }
  const remount = (changed: string): void => {
    const done = spawnSync('mount', ['-o', `remount,${changed}`, folder], { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`Cannot remount: ${done.stderr}`)
  }
  return { folder, remount }
}
