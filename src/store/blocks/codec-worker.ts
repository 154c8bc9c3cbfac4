import { parentPort } from 'node:worker_threads'
import { OperationError } from '../../errors.ts'
import { assert } from '../../std/assert.ts'
import { openRows, openRowsInPlace, sealRows } from './block-form.ts'
import type { CodecJob, CodecReply, ToCodecThread } from './codec-thread.ts'

/** The thread that `codec-thread.ts` starts: one reply for each job that it gets. */
function main(): void {
  const port = parentPort
  assert(port !== null, 'this file runs as a worker thread')
  port.on('message', (message: ToCodecThread) => {
    if (message === 'close') port.close()
    else port.postMessage(replyTo(message))
  })
}

function replyTo(job: CodecJob): CodecReply {
  try {
    return { outcome: 'done', bytes: bytesOf(job) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { outcome: error instanceof OperationError ? 'invalid' : 'failed', message }
  }
}

function bytesOf(job: CodecJob): Uint8Array {
  const { form, bytes } = job
  if (job.work === 'seal') return sealRows(form, bytes, job.nonce)
  return job.work === 'open' ? openRows(form, bytes) : openRowsInPlace(form, bytes)
}

main()
