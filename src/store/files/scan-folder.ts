import { open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { blobScanFilesMax } from '../../limits.ts'
import { type BlobHead, decodeHead, headBytesMax } from './blob-file.ts'
import { isMissing, isPathTaken, readInto } from './blob-folder.ts'
import { inLanes } from './in-lanes.ts'

export interface ScanOptions {
  readonly signal: AbortSignal
  /** Whether a blob is wanted; the file is removed when not. */
  readonly accept: (head: BlobHead) => boolean
}

export interface ScanResult {
  /** Files whose head cannot be what it was written as. They are removed. */
  readonly damaged: number
  /** What was still being written when the node ended. Removed. */
  readonly unfinished: number
}

const subfolderForm = /^[0-9a-f]{2}$/
const nameForm = /^[0-9a-f]{64}$/
const temporaryForm = /^[0-9a-f]{64}\.\d+\.tmp$/

/**
 * Reads the heads of all blobs of a folder, never their bodies. Files that are none of ours stay.
 * @throws the signal's reason
 */
export async function scanFolder(folder: string, options: ScanOptions): Promise<ScanResult> {
  const { signal, accept } = options
  let damaged = 0
  let unfinished = 0
  for (const subfolder of await entriesOf(folder)) {
    if (!subfolderForm.test(subfolder)) continue
    const files = await entriesOf(join(folder, subfolder))
    await inLanes(files, blobScanFilesMax, async file => {
      signal.throwIfAborted()
      const path = join(folder, subfolder, file)
      if (temporaryForm.test(file)) unfinished += 1
      else if (!nameForm.test(file) || !file.startsWith(subfolder)) return
      else {
        const head = await readHead(path, file)
        if (head !== undefined && accept(head)) return
        if (head === undefined) damaged += 1
      }
      // Where it cannot be removed it is met again at the next start.
      await unlink(path).catch(() => undefined)
    })
    signal.throwIfAborted()
  }
  return { damaged, unfinished }
}

async function readHead(path: string, name: string): Promise<BlobHead | undefined> {
  try {
    const handle = await open(path, 'r')
    try {
      const { size } = await handle.stat()
      const start = Buffer.allocUnsafe(Math.min(size, headBytesMax))
      const filled = await readInto(handle, start, 0)
      return decodeHead(name, start.subarray(0, filled), size)
    } finally {
      await handle.close()
    }
  } catch {
    // A file that cannot even be read is as good as damaged.
    return undefined
  }
}

async function entriesOf(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    // A file in place of a folder of ours holds no blobs either.
    if (isMissing(error) || isPathTaken(error)) return []
    throw error
  }
}
