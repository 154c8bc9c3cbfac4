import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DataFolder } from '../../data-folder.ts'
import { systemRandom } from '../../std/random.ts'

/** The node secret of a data folder; undefined where no node has run yet. Never makes one. */
export function folderSecret(data: string): Uint8Array | undefined {
  if (!existsSync(join(data, 'node.secret'))) return undefined
  return new DataFolder(data, systemRandom).secret()
}
