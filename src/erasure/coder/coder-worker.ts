import { parentPort } from 'node:worker_threads'
import { assert } from '../../std/assert.ts'
import { createKernel } from '../kernel/create-kernel.ts'
import { type CodingJob, runCodingJob } from './coding-job.ts'

/**
 * The thread that `coder-thread.ts` starts. Answers each job by its id when no leaf of it is left.
 * An error ends the thread, and is told by its end.
 */
const port = parentPort
assert(port !== null, 'this file runs as a worker thread')
const kernel = createKernel()
port.on('message', (job: CodingJob) => {
  runCodingJob(job, kernel)
  port.postMessage(job.id)
})
