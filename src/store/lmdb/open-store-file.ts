import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Log } from '../../interface/log.ts'
import type { Clock } from '../../std/clock.ts'
import { folderUnusable, moveAside, prepareFolder } from './data-folder.ts'
import { type Databases, dataFileName, openDatabases } from './databases.ts'
import { fileDamage } from './file-check.ts'
import { emptyLedger, type Ledger, readLedger } from './ledger.ts'
import type { WriterOptions } from './record-writer.ts'
import { WriteFailed } from './write-failure.ts'
import { WriterThread } from './writer-thread.ts'

export interface WritableFile {
  readonly writer: WriterThread
  readonly databases: Databases
  readonly ledger: Ledger
}

export interface ReadableFile {
  readonly databases: Databases
  readonly ledger: Ledger
}

/**
 * Opens the file, or a new one: what is damaged is moved aside, so that the node starts.
 *
 * @throws data_folder_unusable
 */
export async function openForWriting(
  components: { readonly clock: Clock; readonly log: Log },
  options: WriterOptions,
): Promise<WritableFile> {
  const { folder, bytesMax } = options
  prepareFolder(folder)
  for (let attempt = 1; ; attempt++) {
    const writer = new WriterThread(options)
    const message = await writer.hello()
    if (message.type === 'opened') {
      const databases = openDatabases(folder, { bytesMax, readOnly: false })
      if (databases !== undefined) return { writer, databases, ledger: message.ledger }
      await writer.close()
      throw folderUnusable(folder, new Error('its store cannot be read'))
    }
    await writer.ended()
    if (message.type === 'failed') throw folderUnusable(folder, new WriteFailed(message))
    const reason = message.type === 'damaged' ? message.reason : 'it answered out of turn'
    // A second time, the fault is not in the file: it is new.
    if (attempt === 2) throw folderUnusable(folder, new Error(`a new store is damaged: ${reason}`))
    const target = moveAside(folder, components.clock.now())
    components.log.warn('store moved aside', { folder: basename(target), reason })
  }
}

/**
 * Opens the file beside a node that may be running, and changes nothing. Undefined where there is
 * no store yet.
 *
 * @throws data_folder_unusable
 */
export function openForReading(options: WriterOptions): ReadableFile | undefined {
  const { folder, bytesMax } = options
  const path = join(folder, dataFileName)
  if (!existsSync(path)) return undefined
  try {
    const reason = fileDamage(path)
    if (reason !== undefined) throw new Error(`its store is damaged (${reason})`)
    const databases = openDatabases(folder, { bytesMax, readOnly: true })
    if (databases === undefined) return undefined
    const read = readLedger(databases)
    return { databases, ledger: read.outcome === 'read' ? read.ledger : emptyLedger }
  } catch (error) {
    throw folderUnusable(folder, error)
  }
}
