import type { GenerationEvent } from '../../interface/generation.ts'
import type { Clock } from '../../std/clock.ts'
import { linkSignal, settlesWithin } from '../../std/signal.ts'

export interface Race<Found> {
  /**
   * Looks for the answer elsewhere; undefined: nobody has it. Must not reject but for its signal.
   * `extend` asks for more time alone: somebody is computing it already.
   */
  readonly search: (signal: AbortSignal, extend: (ms: number) => void) => Promise<Found | undefined>
  readonly generate: (signal: AbortSignal) => AsyncIterable<GenerationEvent>
  /** How long the search may take alone: aborting a prefill costs more than waiting. */
  readonly headStartMs: number
}

export type Leg<Found> =
  | { readonly type: 'found'; readonly found: Found }
  | { readonly type: 'event'; readonly event: GenerationEvent }

/**
 * Search against engine, whichever delivers first: the search has a head start, then both run, and
 * the first to have something wins and the other is aborted. Yields either one `found` or events.
 * An engine that fails while the search goes on leaves it the field.
 */
export async function* raceSources<Found>(
  race: Race<Found>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Leg<Found>, void, void> {
  const searching = stoppable(clock, signal)
  const generating = stoppable(clock, signal)
  let engine: AsyncIterator<GenerationEvent> | undefined
  try {
    let extensionMs = 0
    const found = race.search(searching.signal, ms => {
      extensionMs = Math.max(extensionMs, ms)
    })
    let isSettled = await settlesWithin(clock, found, race.headStartMs)
    if (!isSettled && extensionMs > 0) isSettled = await settlesWithin(clock, found, extensionMs)
    const early = isSettled ? await found : undefined
    if (early !== undefined) return yield { type: 'found', found: early }

    engine = race.generate(generating.signal)[Symbol.asyncIterator]()
    const opening = openingOf(engine)
    const late = await Promise.race([
      orNever(found),
      opening.then(
        () => undefined,
        () => found,
      ),
    ])
    if (late !== undefined) {
      generating.stop('A peer was faster')
      return yield { type: 'found', found: late }
    }
    const events = await opening
    searching.stop('The engine was faster')
    for (const event of events) yield { type: 'event', event }
    for (let next = await engine.next(); next.done !== true; next = await engine.next()) {
      yield { type: 'event', event: next.value }
    }
  } finally {
    searching.stop('The race is over')
    generating.stop('The race is over')
    await endOf(engine)
  }
}

/**
 * The events up to the first that is more than a beginning: some engines say `start` long before
 * they have anything to say.
 */
async function openingOf(
  engine: AsyncIterator<GenerationEvent>,
): Promise<readonly GenerationEvent[]> {
  const events: GenerationEvent[] = []
  for (let next = await engine.next(); next.done !== true; next = await engine.next()) {
    events.push(next.value)
    if (next.value.type !== 'start') break
  }
  return events
}

/** Ends a generation that may have been left in the middle: nothing of it runs afterwards. */
async function endOf(engine: AsyncIterator<GenerationEvent> | undefined): Promise<void> {
  try {
    await engine?.return?.()
  } catch {
    // Whatever it throws after it lost, or after it threw already, matters to nobody any more.
  }
}

/** Resolves with what is found, and not at all when nothing is. */
async function orNever<Found>(search: Promise<Found | undefined>): Promise<Found> {
  const found = await search
  return found ?? (await new Promise<never>(() => undefined))
}

function stoppable(
  clock: Clock,
  parent: AbortSignal,
): { readonly signal: AbortSignal; stop(reason: string): void } {
  const own = new AbortController()
  const linked = linkSignal(clock, [parent, own.signal])
  return {
    signal: linked.signal,
    stop: reason => {
      own.abort(new DOMException(reason, 'AbortError'))
      linked[Symbol.dispose]()
    },
  }
}
