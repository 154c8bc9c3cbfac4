import { systemClock } from '../../../../std/clock.ts'
import { TaskScope } from '../../../../std/task-scope.ts'
import { LlamaEngine } from '../../llama-engine.ts'
import type { FromChild, ToChild } from '../engine-messages.ts'
import { errorMessageOf } from '../error-message.ts'
import { factsOf } from './answer-call.ts'
import { messageLog } from './message-log.ts'
import { CallServer } from './serve-calls.ts'

/**
 * The process that `engine-child.ts` starts: it owns the embedded engine, and so everything of
 * llama.cpp that may abort, be killed for its memory, or crash.
 */
function main(): void {
  const log = messageLog(send)
  const scope = new TaskScope((task, error) => log.error('task failed', { task, error }))
  let engine: LlamaEngine | undefined
  let calls: CallServer | undefined
  // Ctrl-C, or the end of a service, reaches all processes of the group. The node finishes first
  // what runs here, and says when that is done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined)
  // The node is gone, or done with us. Nothing here is worth keeping, and an orderly exit while
  // llama.cpp computes may well end in a crash.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.on('message', (message: ToChild) => {
    switch (message.type) {
      case 'load': {
        const { models } = message
        const loading = new LlamaEngine({ clock: systemClock, log }, { models })
        engine = loading
        return scope.spawn('load', async signal => {
          calls = await load(loading, signal)
        })
      }
      case 'call':
        return calls?.run(message)
      case 'cancel':
        return calls?.cancel(message.id)
      case 'more':
        return calls?.more(message.id, message.count)
      case 'ping':
        return send({ type: 'pong' })
      case 'stop':
        return scope.spawn('stop', async () => {
          await engine?.stop()
          process.disconnect()
        })
    }
  })
}

/** Undefined when the models cannot be loaded. Either outcome is told. */
async function load(engine: LlamaEngine, signal: AbortSignal): Promise<CallServer | undefined> {
  try {
    await engine.start({ signal })
  } catch (error) {
    send({ type: 'load failed', error: errorMessageOf(error) })
    return undefined
  }
  const models = engine.models()
  const calls = new CallServer(models, send)
  send({ type: 'loaded', models: models.map(factsOf) })
  return calls
}

function send(message: FromChild): void {
  // A channel that cannot be sent to is about to say `disconnect`.
  process.send?.(message, undefined, undefined, () => undefined)
}

main()
