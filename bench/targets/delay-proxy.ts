import { connect, createServer, type Socket } from 'node:net'
import { parseArgs } from 'node:util'

/**
 * A longer path to `--to`: whatever arrives leaves again `--delay` milliseconds later, in both
 * directions and as much at once as there is, so that the bandwidth stays the machine's.
 */
const { values } = parseArgs({
  options: { port: { type: 'string' }, to: { type: 'string' }, delay: { type: 'string' } },
})
const delayMs = Number(values.delay)

createServer({ noDelay: true }, near => {
  const far = connect({ port: Number(values.to), host: '127.0.0.1', noDelay: true })
  carry(near, far)
  carry(far, near)
}).listen(Number(values.port), '127.0.0.1')

/** Timers of one length fire in the order in which they were set, so the bytes stay in theirs. */
function carry(from: Socket, to: Socket): void {
  from.on('data', chunk => setTimeout(() => to.write(chunk), delayMs))
  from.on('end', () => setTimeout(() => to.end(), delayMs))
  from.on('error', () => to.destroy())
  from.on('close', () => setTimeout(() => to.destroy(), delayMs))
}
