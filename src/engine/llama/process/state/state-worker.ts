import { closeSync, fstatSync, openSync, readSync, rmSync, writevSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { OperationError } from '../../../../errors.ts'
import type { BlockRows } from '../../../../interface/kv-state.ts'
import { blockBytes, blockTokens } from '../../../../key/state-layout.ts'
import { stateFileBytesMax } from '../../../../limits.ts'
import { assert } from '../../../../std/assert.ts'
import { cutBlock, joinBlocks, parseStateFile } from '../../../state-file/state-file.ts'
import { errorMessageOf } from '../error-message.ts'
import type { CutJob, FromStateWorker, JoinJob, ToStateWorker } from './state-thread.ts'

/** The thread that `state-thread.ts` starts: one job after the other, each answered once. */
function main(): void {
  const port = parentPort
  assert(port !== null, 'this file runs as a worker thread')
  const post = (message: FromStateWorker): void => port.postMessage(message)
  port.on('message', ({ id, job }: ToStateWorker) => {
    try {
      post({ id, blocks: job.type === 'cut' ? cut(job) : join(job) })
    } catch (error) {
      post({ id, error: errorMessageOf(error) })
    }
  })
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

function join({ path, ...what }: JoinJob): undefined {
  assert(what.tokenIds.length === what.blocks.length * blockTokens, 'a block has 128 tokens')
  const pieces = joinBlocks(what)
  const file = openSync(path, 'wx', 0o600)
  try {
    writeAll(file, pieces)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

function writeAll(file: number, pieces: readonly Uint8Array[]): void {
  let left = pieces.filter(piece => piece.length > 0)
  while (left.length > 0) {
    let written = writevSync(file, left)
    const rest: Uint8Array[] = []
    for (const piece of left) {
      if (written < piece.length) rest.push(piece.subarray(written))
      written = Math.max(0, written - piece.length)
    }
    left = rest
  }
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
