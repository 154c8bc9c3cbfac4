import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parentPort } from 'node:worker_threads'

/**
 * A thread with nothing to do, which tells how late it was woken: what the machine does to every
 * thread, whatever its program is. `start` begins a measurement, `stop` is answered by its maximum
 * in ms.
 */
const histogram = monitorEventLoopDelay({ resolution: 1 })
parentPort?.on('message', message => {
  if (message === 'start') {
    histogram.reset()
    histogram.enable()
  } else {
    histogram.disable()
    parentPort?.postMessage(histogram.max / 1e6)
  }
})
