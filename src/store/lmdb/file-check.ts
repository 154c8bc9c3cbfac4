import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { storeCheckPagesMax } from '../../limits.ts'

/**
 * Looks for damage in an LMDB file before LMDB does. LMDB trusts its file: a truncated one kills
 * the process with SIGBUS, a wrong page number with SIGSEGV, and a wrong free list makes it
 * overwrite live pages. So every page of the trees is visited once and each number in it is
 * checked. Bytes of records are not read: they have checksums.
 *
 * Format: LMDB data version 2 as lmdb 3.5.6 writes it (mdb.c: MDB_page_header, MDB_meta, MDB_db,
 * MDB_node).
 */

/**
 * What is wrong with the file; undefined when nothing is, or when there is no file or an empty one.
 */
export function fileDamage(path: string): string | undefined {
  const file = openIfPresent(path)
  if (file === undefined) return undefined
  try {
    if (fstatSync(file).size === 0) return undefined
    new FileCheck(file).run()
    return undefined
  } catch (error) {
    if (error instanceof Damage) return error.message
    throw error
  } finally {
    closeSync(file)
  }
}

class Damage extends Error {}

const magic = 0xbeefc0de
const dataVersion = 2
const noPage = 0xffff_ffff_ffff_ffffn
const pageHeaderBytes = 24
const metaBytes = 24 + 24 + 2 * 48 + 24
const nodeHeaderBytes = 8
const treeBytes = 48
const depthMax = 32
const metaPages = 2
const unwrittenPagesMax = 65_536
const pageFlag = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 }
/**
 * MDB_REVERSEKEY, DUPSORT, DUPFIXED, INTEGERDUP and REVERSEDUP: none of our trees has them, nor has
 * the free list.
 */
const foreignTreeFlags = 0x02 | 0x04 | 0x10 | 0x20 | 0x40
const nodeFlag = { bigData: 0x01, tree: 0x02 }

type VisitLeaf = (page: Buffer, at: number, bytes: number, flags: number) => void

interface Meta {
  readonly pageBytes: number
  readonly lastPage: number
  readonly transaction: bigint
  readonly freeTree: Tree
  readonly mainTree: Tree
}

interface Tree {
  readonly root: number | undefined
  readonly depth: number
}

class FileCheck {
  readonly #file: number
  readonly #meta: Meta
  readonly #pages: number
  /** One bit per page: each page has exactly one owner, a tree or the free list. */
  readonly #owned: Uint8Array
  #pagesLeft = storeCheckPagesMax

  constructor(file: number) {
    this.#file = file
    this.#meta = this.#newestMeta()
    this.#pages = Math.floor(fstatSync(file).size / this.#meta.pageBytes)
    // The file may end before its last page when that one is free, but never by much.
    if (this.#meta.lastPage > 2 * this.#pages + unwrittenPagesMax) throw truncated()
    this.#owned = new Uint8Array(Math.ceil((this.#meta.lastPage + 1) / 8))
  }

  run(): void {
    this.#walk(this.#meta.freeTree, (page, at, bytes) => this.#visitFreeList(page, at, bytes))
    this.#walk(this.#meta.mainTree, (page, at, bytes, flags) => {
      if ((flags & nodeFlag.tree) === 0) return
      if (bytes !== treeBytes) throw new Damage('a tree has a wrong size')
      this.#walk(treeAt(page, at), () => undefined)
    })
  }

  /**
   * LMDB starts from the meta page of the higher transaction, and writes the other one next: both
   * must hold.
   */
  #newestMeta(): Meta {
    const first = this.#readMeta(0)
    const second = this.#readMeta(first.pageBytes)
    if (second.pageBytes !== first.pageBytes) throw new Damage('its two heads differ in page size')
    return second.transaction > first.transaction ? second : first
  }

  #readMeta(offset: number): Meta {
    const bytes = this.#read(offset, metaBytes)
    const isMeta = (bytes.readUInt16LE(18) & pageFlag.meta) !== 0
    if (!isMeta || bytes.readUInt32LE(24) !== magic) throw new Damage('it has no LMDB head')
    const version = bytes.readUInt32LE(28) & 0xffff
    if (version !== dataVersion) {
      throw new Damage(`it has data format ${version}, not ${dataVersion}`)
    }
    const pageBytes = bytes.readUInt32LE(48)
    const isPageSize =
      pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0
    if (!isPageSize) throw new Damage('its page size is impossible')
    const lastPage = pageNumber(bytes.readBigUInt64LE(144))
    if (lastPage < metaPages - 1) throw new Damage('its last page is impossible')
    return {
      pageBytes,
      lastPage,
      transaction: bytes.readBigUInt64LE(152),
      freeTree: treeAt(bytes, 48),
      mainTree: treeAt(bytes, 96),
    }
  }

  /**
   * Visits a tree level by level, so that the pages near the roots are checked however large it is.
   */
  #walk(tree: Tree, visitLeaf: VisitLeaf): void {
    if (tree.root === undefined) return
    if (tree.depth < 1 || tree.depth > depthMax) throw new Damage('a tree has an impossible depth')
    let level = [tree.root]
    for (let depth = 1; depth <= tree.depth; depth++) {
      const below: number[] = []
      for (const number of level) {
        if (this.#pagesLeft === 0) return
        this.#pagesLeft -= 1
        const page = this.#readPage(number, depth === tree.depth ? pageFlag.leaf : pageFlag.branch)
        for (const at of nodesOf(page)) {
          if (depth < tree.depth) below.push(childOf(page, at))
          else this.#visitNode(page, at, visitLeaf)
        }
      }
      level = below
    }
  }

  #visitNode(page: Buffer, at: number, visitLeaf: VisitLeaf): void {
    const flags = page.readUInt16LE(at + 4)
    const dataAt = at + nodeHeaderBytes + page.readUInt16LE(at + 6)
    const dataBytes = page.readUInt32LE(at)
    if ((flags & nodeFlag.bigData) === 0) {
      if (dataAt + dataBytes > page.length) throw new Damage('a node is longer than its page')
      visitLeaf(page, dataAt, dataBytes, flags)
      return
    }
    if (dataAt + 24 > page.length) throw new Damage('a node is longer than its page')
    const number = pageNumber(page.readBigUInt64LE(dataAt))
    const count = Math.ceil((pageHeaderBytes + dataBytes) / page.length)
    const big = this.#readOverflow(number, count)
    visitLeaf(big, pageHeaderBytes, dataBytes, flags)
  }

  /**
   * The head of a run of pages that hold one large value. The value itself is only read for the
   * free list.
   */
  #readOverflow(number: number, count: number): Buffer {
    for (let index = 0; index < count; index++) this.#own(number + index)
    if (number + count > this.#pages) throw truncated()
    const head = this.#read(number * this.#meta.pageBytes, pageHeaderBytes)
    const isOverflow = (head.readUInt16LE(18) & pageFlag.overflow) !== 0
    const isSame = pageNumber(head.readBigUInt64LE(0)) === number
    if (!isOverflow || !isSame || head.readUInt32LE(20) !== count) {
      throw new Damage(`page ${number} does not hold the value it should`)
    }
    return head
  }

  /**
   * A list of page numbers: its length, then pages; a negative number is the length of a run that
   * starts at the next.
   */
  #visitFreeList(page: Buffer, at: number, bytes: number): void {
    const list =
      page.length === pageHeaderBytes
        ? this.#read(pageNumber(page.readBigUInt64LE(0)) * this.#meta.pageBytes + at, bytes)
        : page.subarray(at, at + bytes)
    const length = bytes < 8 ? -1 : Number(list.readBigInt64LE(0))
    if (length < 0 || (length + 1) * 8 > bytes) throw new Damage('its free list has a wrong length')
    for (let index = 1; index <= length; index++) {
      const entry = Number(list.readBigInt64LE(index * 8))
      if (entry === 0) continue
      const isRun = entry < 0
      if (isRun) index += 1
      if (index > length) throw new Damage('its free list is cut off')
      const first = isRun ? pageNumber(list.readBigUInt64LE(index * 8)) : entry
      const count = isRun ? -entry : 1
      if (first + count - 1 > this.#meta.lastPage) throw new Damage('its free list is wrong')
      for (let number = first; number < first + count; number++) this.#own(number)
    }
  }

  #readPage(number: number, flag: number): Buffer {
    this.#own(number)
    if (number >= this.#pages) throw truncated()
    const page = this.#read(number * this.#meta.pageBytes, this.#meta.pageBytes)
    const flags = page.readUInt16LE(18) & 0xff
    if (pageNumber(page.readBigUInt64LE(0)) !== number || flags !== flag) {
      throw new Damage(`page ${number} is not what it should be`)
    }
    return page
  }

  #own(number: number): void {
    if (number < metaPages || number > this.#meta.lastPage) {
      throw new Damage(`it names page ${number}, which does not exist`)
    }
    const bit = 1 << (number & 7)
    const byte = this.#owned[number >> 3] ?? 0
    if ((byte & bit) !== 0) throw new Damage(`page ${number} has two owners`)
    this.#owned[number >> 3] = byte | bit
  }

  #read(offset: number, bytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(bytes)
    if (readSync(this.#file, buffer, 0, bytes, offset) !== bytes) throw truncated()
    return buffer
  }
}

/** Where the nodes of a page begin. */
function nodesOf(page: Buffer): readonly number[] {
  const lower = page.readUInt16LE(20)
  const upper = page.readUInt16LE(22)
  const isPossible = lower > 0 && lower % 2 === 0 && lower <= upper
  if (!isPossible || upper > page.length - pageHeaderBytes) {
    throw new Damage('a page has impossible bounds')
  }
  const nodes: number[] = []
  for (let index = 0; index < lower / 2; index++) {
    const at = page.readUInt16LE(pageHeaderBytes + index * 2) + pageHeaderBytes
    const isInside = at >= pageHeaderBytes + upper && at + nodeHeaderBytes <= page.length
    if (!isInside || at + nodeHeaderBytes + page.readUInt16LE(at + 6) > page.length) {
      throw new Damage('a node lies outside its page')
    }
    nodes.push(at)
  }
  return nodes
}

/**
 * A branch node keeps its page number in 48 bits: low, middle, and in place of the flags the high
 * ones.
 */
function childOf(page: Buffer, at: number): number {
  return page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 2 ** 32
}

function treeAt(bytes: Buffer, at: number): Tree {
  if ((bytes.readUInt16LE(at + 4) & foreignTreeFlags) !== 0) {
    throw new Damage('a tree is of a kind that is not used here')
  }
  const root = bytes.readBigUInt64LE(at + 40)
  return {
    depth: bytes.readUInt16LE(at + 6),
    root: root === noPage ? undefined : pageNumber(root),
  }
}

function truncated(): Damage {
  return new Damage('it is truncated')
}

function pageNumber(value: bigint): number {
  if (value > BigInt(2 ** 48)) throw new Damage('it has an impossible page number')
  return Number(value)
}

function openIfPresent(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
