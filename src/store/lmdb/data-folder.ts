import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { OperationError } from '../../errors.ts'
import { KiB, MiB, storeCorruptFoldersMax } from '../../limits.ts'
import { failureOf } from './write-failure.ts'

/**
 * Enough that a new store's file fits, and that a disk which is full to the last kilobyte is
 * noticed.
 */
const probeBytes: number = 256 * KiB
/**
 * With less than this left, a failed write is put down to the full disk: LMDB reports a cut write
 * as EIO.
 */
const fullBytes: number = 4 * MiB

/** Makes sure that the folder exists and can be written to. @throws data_folder_unusable */
export function prepareFolder(folder: string): void {
  const probe = join(folder, '.write-test')
  try {
    mkdirSync(folder, { recursive: true })
    const file = openSync(probe, 'w')
    try {
      let written = 0
      while (written < probeBytes) written += writeSync(file, Buffer.alloc(probeBytes - written))
      fsyncSync(file)
    } finally {
      closeSync(file)
      rmSync(probe, { force: true })
    }
  } catch (error) {
    throw folderUnusable(folder, error)
  }
}

export function folderUnusable(folder: string, error: unknown): OperationError {
  const { errno } = failureOf(error)
  const message = `Cannot use the data folder ${folder}: ${whyUnusable(folder, error, errno)}`
  return new OperationError('data_folder_unusable', message, { origin: 'store', cause: error })
}

function whyUnusable(folder: string, error: unknown, errno: number): string {
  const { EACCES, EPERM, EROFS, ENOTDIR, EEXIST } = constants.errno
  const elsewhere = 'or choose another folder with --data DIR'
  if (errno === EROFS) return `its file system is read-only. Mount it writable, ${elsewhere}`
  if (errno === EACCES || errno === EPERM) {
    return `this account may not write there. Change its owner or mode, ${elsewhere}`
  }
  if (errno === ENOTDIR || errno === EEXIST) {
    return `part of its path is a file. Remove that file, ${elsewhere}`
  }
  if (isDiskFull(folder, errno)) return `its disk is full. Free some space, ${elsewhere}`
  return `${failureOf(error).message}. Check the disk, ${elsewhere}`
}

/** Why a write failed, for people. */
export function explainWriteFailure(folder: string, error: unknown): string {
  const { errno, message } = failureOf(error)
  if (isDiskFull(folder, errno)) return `the disk of ${folder} is full`
  if (errno === constants.errno.EROFS) return `the file system of ${folder} is read-only`
  return `${folder} cannot be written to (${message})`
}

function isDiskFull(folder: string, errno: number): boolean {
  const { ENOSPC, EDQUOT, EIO } = constants.errno
  if (errno === ENOSPC || errno === EDQUOT) return true
  return errno === EIO && freeBytes(folder) < fullBytes
}

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    // A folder that cannot even be asked is not known to be full.
    return Number.POSITIVE_INFINITY
  }
}

/**
 * Renames a folder to `<folder>.corrupt-<UTC time>` and makes it anew, empty. Of such folders the
 * newest few are kept, for whoever wants to find out what happened. Returns the new name.
 *
 * @throws data_folder_unusable
 */
export function moveAside(folder: string, now: number): string {
  const stamp = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '')
  let target = `${folder}.corrupt-${stamp}`
  for (let attempt = 2; existsSync(target); attempt++) {
    target = `${folder}.corrupt-${stamp}-${attempt}`
  }
  try {
    renameSync(folder, target)
    mkdirSync(folder)
    const prefix = `${basename(folder)}.corrupt-`
    const corrupt = readdirSync(dirname(folder)).filter(name => name.startsWith(prefix))
    for (const name of corrupt.sort().slice(0, -storeCorruptFoldersMax)) {
      rmSync(join(dirname(folder), name), { recursive: true })
    }
  } catch (error) {
    throw folderUnusable(folder, error)
  }
  return target
}
