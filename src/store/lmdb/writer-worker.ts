import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../std/assert.ts'
import { dataFileName, openDatabases } from './databases.ts'
import { fileDamage } from './file-check.ts'
import { RecordWriter, type WriterOptions } from './record-writer.ts'
import { failureOf } from './write-failure.ts'
import type { ToWriter, WriterMessage } from './writer-thread.ts'

/**
 * The thread that `writer-thread.ts` starts: it owns the store's `RecordWriter`. Threads share
 * nothing, so it says what happened in messages, one for each that it gets.
 */
async function main(options: WriterOptions): Promise<void> {
  const port = parentPort
  assert(port !== null, 'this file runs as a worker thread')
  const post = (message: WriterMessage): void => port.postMessage(message)
  const writer = await openWriter(options, post)
  if (writer === undefined) return
  port.on('message', async (message: ToWriter) => {
    if (message === 'close') {
      await writer.close()
      port.close()
      return
    }
    try {
      const outcome = message === 'probe' ? writer.probe() : writer.apply(message)
      post({ type: 'applied', outcome })
    } catch (error) {
      post({ type: 'failed', ...failureOf(error) })
    }
  })
}

/** Says `opened`, `damaged` or `failed`; undefined in the latter cases. */
async function openWriter(
  options: WriterOptions,
  post: (message: WriterMessage) => void,
): Promise<RecordWriter | undefined> {
  const { folder, bytesMax } = options
  try {
    const reason = fileDamage(join(folder, dataFileName))
    if (reason !== undefined) {
      post({ type: 'damaged', reason })
      return undefined
    }
    const databases = openDatabases(folder, { bytesMax, readOnly: false })
    const writer = databases && new RecordWriter(databases, options)
    if (writer?.open()) {
      post({ type: 'opened', ledger: writer.ledger })
      return writer
    }
    await databases?.root.close()
    post({ type: 'damaged', reason: 'it is of another format' })
  } catch (error) {
    const failure = failureOf(error)
    // System errors have positive codes; LMDB's own, which speak of the file's contents, are
    // negative.
    if (failure.errno > 0) post({ type: 'failed', ...failure })
    else post({ type: 'damaged', reason: failure.message })
  }
  return undefined
}

await main(workerData)
