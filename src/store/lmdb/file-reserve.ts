import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { MiB } from '../../limits.ts'
import type { Databases } from './databases.ts'

/** What a transaction is about to do, for an estimate of the pages that it writes. */
export interface PlannedWrites {
  /** Records put, removed, evicted or moved in the queue. */
  readonly records: number
  readonly bytes: number
}

const pageBytes = 4_096
/**
 * A leaf in each of three trees, for what goes and for what comes. Splits are paid for by those
 * that do not.
 */
const pagesPerRecord = 6
/** Branches, the free list, the ledger. */
const pagesPerTransaction = 32
/** The file grows in such steps. */
const stepBytes: number = MiB / 4
const zeros = Buffer.alloc(stepBytes)

/**
 * Lets the file grow before LMDB needs it to. When LMDB itself meets a full disk, lmdb 3.5.6 writes
 * an error message of up to 107 characters into 100 bytes of heap (mdb.c, mdb_page_flush:
 * "Attempting to write page at position …") and the process dies by SIGABRT, at once or later. A
 * write from here fails as an ordinary error, and afterwards LMDB overwrites what is already there.
 */
export class FileReserve {
  readonly #databases: Databases
  readonly #file: number

  constructor(databases: Databases, path: string) {
    this.#databases = databases
    this.#file = openSync(path, 'r+')
  }

  /** @throws the file system's error, with the file as long as before */
  ensure(planned: PlannedWrites): void {
    const usedPages = this.#usedPages()
    const treePages = Math.min(pagesPerRecord * planned.records, 2 * usedPages)
    const needBytes =
      (usedPages + treePages + pagesPerTransaction) * pageBytes + 1.5 * planned.bytes
    const sizeBytes = fstatSync(this.#file).size
    if (needBytes <= sizeBytes) return
    try {
      const targetBytes = Math.ceil(needBytes / stepBytes) * stepBytes
      for (let at = sizeBytes; at < targetBytes; ) {
        at += writeSync(this.#file, zeros, 0, Math.min(zeros.length, targetBytes - at), at)
      }
    } catch (error) {
      ftruncateSync(this.#file, sizeBytes)
      throw error
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  #usedPages(): number {
    const stats = this.#databases.root.getStats()
    const isKnown = 'lastPageNumber' in stats && typeof stats.lastPageNumber === 'number'
    return isKnown ? Number(stats.lastPageNumber) + 1 : 0
  }
}
