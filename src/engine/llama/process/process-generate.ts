import type { GenerateOptions } from '../../../interface/engine.ts'
import type { GenerationEvent } from '../../../interface/generation.ts'
import type { PrefixUse } from '../../../interface/kv-state.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import { readStream } from './child-stream.ts'
import type { EngineChild } from './engine-child.ts'
import type { StreamCall } from './engine-messages.ts'
import type { EngineSupervisor } from './engine-supervisor.ts'
import type { PreparedState } from './state/prepared-state.ts'
import type { StateTransfer } from './state/state-transfer.ts'

export interface GenerateParts {
  readonly supervisor: EngineSupervisor
  /** The model's place in the engine process's list. */
  readonly index: number
  /** Undefined where the model's state cannot be cut. */
  readonly state: StateTransfer | undefined
}

/**
 * Answers a request in the engine's process. When that ends before the first event, the next
 * process is asked once more – without the offered KV state, which may be what ended it.
 */
export async function* generateInProcess(
  parts: GenerateParts,
  request: CompletionRequest,
  options: GenerateOptions,
): AsyncGenerator<GenerationEvent> {
  const { signal } = options
  let { prefix } = options
  for (let attempt = 0; ; attempt++) {
    using prepared = await parts.state?.prepare(prefix, {
      signal,
      partition: options.partition ?? '',
    })
    const child = await parts.supervisor.serving({ signal })
    let hasYielded = false
    try {
      const { seed, partition } = options
      const call: StreamCall = {
        method: 'generate',
        request,
        options: { seed, ...(partition === undefined ? {} : { partition }), ...prepared?.options },
      }
      for await (const event of attemptOn(child, { parts, call, prepared, signal })) {
        hasYielded = true
        yield event
      }
      return
    } catch (error) {
      if (!child.hasEnded || hasYielded || attempt > 0) throw error
    }
    if (prepared?.wasOfferAsked) prefix = withoutOffer(prefix)
  }
}

async function* attemptOn(
  child: EngineChild,
  attempt: {
    readonly parts: GenerateParts
    readonly call: StreamCall
    readonly prepared: PreparedState | undefined
    readonly signal: AbortSignal
  },
): AsyncGenerator<GenerationEvent> {
  const { parts, call, prepared, signal } = attempt
  signal.throwIfAborted()
  const stream = child.open(parts.index, call)
  let handedOut: Promise<void> | undefined
  let isWhole = false
  try {
    for await (const items of readStream(stream, { signal, isLeftAlone: () => !!handedOut })) {
      for (const event of items.method === 'generate' ? items.items : []) {
        signal.throwIfAborted()
        if (event.type === 'start') prepared?.begun()
        // From here on whoever reads the answer need not wait for what is kept of it.
        if (event.type === 'usage' && prepared?.keeps) handedOut = prepared.handOut(stream.ended)
        isWhole = event.type === 'usage'
        yield withJoining(event, prepared)
      }
    }
  } catch (error) {
    // What happens behind its last event is no failure of the answer.
    if (!isWhole) throw error
  }
  await handedOut
}

/** What the node's side did for an import counts too. */
function withJoining(event: GenerationEvent, prepared: PreparedState | undefined): GenerationEvent {
  if (event.type !== 'start' || event.importMs === undefined) return event
  return { ...event, importMs: event.importMs + (prepared?.joinMs ?? 0) }
}

function withoutOffer(prefix: PrefixUse | undefined): PrefixUse | undefined {
  if (prefix === undefined) return undefined
  const { offer: _, ...rest } = prefix
  return rest
}
