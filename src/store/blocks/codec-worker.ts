import { parentPort } from 'node:worker_threads'
import { OperationError } from '../../errors.ts'
import { assert } from '../../std/assert.ts'
import { openRows, sealRows } from './block-form.ts'
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
    const { form, bytes } = job
    const done = job.work === 'seal' ? sealRows(form, bytes, job.nonce) : openRows(form, bytes)
    return { outcome: 'done', bytes: done }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { outcome: error instanceof OperationError ? 'invalid' : 'failed', message }
  }
}

main()
