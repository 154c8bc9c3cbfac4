import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writevSync,
} from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { OperationError } from '../../../../errors.ts'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { blockBytes } from '../../../../key/state-layout.ts'
import { KiB, stateFileBytesMax } from '../../../../limits.ts'
import { assert, unreachable } from '../../../../std/assert.ts'
import {
  cutBlock,
  type PlacedPieces,
  parseStateFile,
  placeBlocks,
  placeHeaders,
  stateFileBytes,
} from '../../../state-file/state-file.ts'
import { errorMessageOf } from '../error-message.ts'
import type {
  BeginJob,
  CutJob,
  FromStateWorker,
  PlaceJob,
  StateJob,
  ToStateWorker,
  ZeroJob,
} from './state-thread.ts'

const openOrMake = constants.O_RDWR | constants.O_CREAT
const ownerOnly = 0o600
const zeros = new Uint8Array(256 * KiB)

/** The thread that `state-thread.ts` starts: one job after the other, each answered once. */
function main(): void {
  const port = parentPort
  assert(port !== null, 'this file runs as a worker thread')
  const post = (message: FromStateWorker): void => port.postMessage(message)
  port.on('message', ({ id, job }: ToStateWorker) => {
    try {
      post({ id, blocks: run(job) })
    } catch (error) {
      post({ id, error: errorMessageOf(error) })
    }
  })
}

function run(job: StateJob): readonly BlockRows[] | undefined {
  switch (job.type) {
    case 'cut':
      return cut(job)
    case 'begin':
      return begin(job)
    case 'place':
      return place(job)
    case 'zero':
      return zero(job)
    default:
      return unreachable(job)
  }
}

function cut({ path, layout, tokenIds, range }: CutJob): readonly BlockRows[] | undefined {
  const bytes = readWhole(path)
  if (bytes === undefined) return undefined
  const state = parseStateFile(bytes)
  if (!tokenIds.every((tokenId, index) => state.tokenIds[index] === tokenId)) {
    throw stateWrong('it holds other tokens')
  }
  const blocks = Array.from({ length: range.to - range.from }, (_, index) =>
    cutBlock(state, range.from + index),
  )
  if (blocks.some(rows => rows.length !== blockBytes(layout))) {
    throw stateWrong('its rows have another layout than the model told')
  }
  return blocks
}

function begin({ path, isReady, form, tokenIds }: BeginJob): undefined {
  const headers = placeHeaders(form, tokenIds)
  if (isReady) {
    const file = openSync(path, openOrMake, ownerOnly)
    writeTo(path, file, headers, { length: stateFileBytes(form, tokenIds.length) })
  } else {
    // Writes over nothing: where there is a file already it stays as it is.
    writeTo(path, openSync(path, 'wx', ownerOnly), headers)
  }
}

function place({ path, form, ...what }: PlaceJob): undefined {
  const rows = placeBlocks(form, what)
  writeTo(path, openSync(path, 'r+'), rows)
}

function zero({ path, start, bytes, total }: ZeroJob): undefined {
  const pieces: Uint8Array[] = []
  for (let left = bytes; left > 0; left -= zeros.length) pieces.push(zeros.subarray(0, left))
  writeTo(path, openSync(path, openOrMake, ownerOnly), [{ start, pieces }], { length: total })
}

/** Closes the file, and removes it when it cannot be written. `length`: that it is given first. */
function writeTo(
  path: string,
  file: number,
  placed: readonly PlacedPieces[],
  { length }: { readonly length?: number } = {},
): void {
  try {
    if (length !== undefined) ftruncateSync(file, length)
    writePlaced(file, placed)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

function writePlaced(file: number, placed: readonly PlacedPieces[]): void {
  for (const { start, pieces } of placed) {
    let end = start
    let left = pieces.filter(piece => piece.length > 0)
    while (left.length > 0) {
      const written = writevSync(file, left, end)
      end += written
      left = leftOf(left, written)
    }
  }
}

/** What is left of pieces of which so many bytes were written. */
function leftOf(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let written = bytes
  const rest: Uint8Array[] = []
  for (const piece of pieces) {
    if (written < piece.length) rest.push(piece.subarray(written))
    written = Math.max(0, written - piece.length)
  }
  return rest
}

function readWhole(path: string): Uint8Array | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    // The engine did not write it: the state was not resident, or it had no room.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { size } = fstatSync(file)
    if (size > stateFileBytesMax) throw stateWrong(`it has more than ${stateFileBytesMax} bytes`)
    const bytes = Buffer.allocUnsafeSlow(size)
    for (let offset = 0; offset < size; ) {
      const count = readSync(file, bytes, offset, size - offset, offset)
      if (count === 0) throw stateWrong('it was cut short')
      offset += count
    }
    return bytes
  } finally {
    closeSync(file)
  }
}

function stateWrong(reason: string): OperationError {
  return new OperationError('block_invalid', `A state file cannot be used: ${reason}`, {
    origin: 'engine',
  })
}

main()
