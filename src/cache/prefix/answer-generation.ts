import type { GenerationEvent } from '../../interface/generation.ts'
import { type ResponseKey, seedOf } from '../../key/response-key.ts'
import type { AnswerBasis } from '../peers/swarm-flight.ts'
import type { PrefixAsk } from './ask-prefix.ts'
import { partitionOf } from './audit/judge-runs.ts'
import type { PrefixCache } from './prefix-cache.ts'
import type { PrefixReport } from './prefix-report.ts'
import type { PrefixRun } from './prefix-run.ts'

/** How an answer is computed, whoever runs it: the plain path, or the race against peers. */
export interface AnswerGeneration {
  /** Once at most. Plans when the engine's turn has come, not before. */
  generate(signal: AbortSignal): AsyncIterable<GenerationEvent>
  /**
   * What the prefix cache did; undefined until the first event, and where it has no part in it.
   */
  report(): PrefixReport | undefined
  /** What the answer rested on, when it is complete. */
  basis(): AnswerBasis
}

/** What plans a prompt's beginning, and knows what came of it. */
export type PromptPlanner = Pick<PrefixCache, 'plan' | 'partitionOf' | 'refuses' | 'noteAnswer'>

/** The one way from a request to its engine. `prefix` is absent where KV state is not kept. */
export function answerGeneration(
  prefix: PromptPlanner | undefined,
  ask: PrefixAsk & { readonly key: ResponseKey },
): AnswerGeneration {
  const { served, request, scope, key } = ask
  let run: PrefixRun | undefined
  // The cache's own changes with every liar that is found: an answer stays where it was begun.
  let partition = partitionOf(scope)
  const settled = Promise.withResolvers<void>()
  async function* generate(signal: AbortSignal): AsyncGenerator<GenerationEvent, void, void> {
    try {
      yield* planned(signal)
    } finally {
      settled.resolve()
    }
  }
  async function* planned(signal: AbortSignal): AsyncGenerator<GenerationEvent, void, void> {
    run = await prefix?.plan(ask, { signal })
    if (prefix !== undefined) partition = run?.partition ?? prefix.partitionOf(scope)
    const options = { signal, seed: seedOf(key), partition }
    if (run === undefined) {
      yield* served.model.generate(request, options)
      return
    }
    try {
      const events = served.model.generate(request, { ...options, prefix: run.use })
      for await (const event of events) yield run.note(event)
    } finally {
      run.end()
    }
  }
  const report = (): PrefixReport | undefined => run?.report()
  const basis = (): AnswerBasis => {
    const { unauditedTokens = 0, issuers = [] } = report() ?? {}
    return { unauditedTokens, issuers, partition, settled: settled.promise }
  }
  return { generate, report, basis }
}
