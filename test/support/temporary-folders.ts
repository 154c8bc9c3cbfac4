import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TemporaryFolders {
  /** The path of a folder that does not exist yet. */
  next(): string
  remove(): void
}

export function temporaryFolders(): TemporaryFolders {
  const root = mkdtempSync(join(tmpdir(), 'hyperspace-store-'))
  let count = 0
  return {
    next() {
      count += 1
      return join(root, `${count}`, 'records')
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}
