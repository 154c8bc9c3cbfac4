import type { LlamaGrammar } from 'node-llama-cpp'
import { OperationError } from '../../errors.ts'
import type { GenerateOptions } from '../../interface/engine.ts'
import type { GenerationEvent, StartEvent } from '../../interface/generation.ts'
import type { CompletionRequest } from '../../key/completion-request.ts'
import { begin, leaseFor, resume, saveWanted } from './begin.ts'
import { assertFits, assertTokenIds, callSignal, type LoadedModel } from './loaded-model.ts'
import type { Prompt } from './prompt.ts'
import { Decoder } from './sequence/decoder.ts'
import type { ResidentSequence } from './sequence/resident-sequence.ts'
import type { Lease } from './sequence/sequence-pool.ts'
import type { NativeStateOptions } from './state/native-state.ts'
import { AnswerEvents } from './text/answer-events.ts'
import { functionTools, outputGrammar } from './text/output-grammar.ts'

/** What one request needs while it runs. */
interface Run {
  readonly request: CompletionRequest
  readonly prompt: Prompt
  readonly grammar: LlamaGrammar | undefined
  readonly lease: Lease<ResidentSequence>
  readonly state: NativeStateOptions & { readonly partition: string }
  readonly seed: bigint
  readonly signal: AbortSignal
  readonly tally: { completionTokens: number; reasoningTokens: number }
}

/**
 * Answers a request. Its choices run one after the other on one sequence: each resumes from the
 * whole prompt, which costs nothing, and other requests keep their sequences.
 *
 * State is saved when the answer's last event has been taken and another is asked for.
 */
export async function* generateAnswer(
  loaded: LoadedModel,
  request: CompletionRequest,
  options: GenerateOptions & NativeStateOptions,
): AsyncGenerator<GenerationEvent> {
  options.signal.throwIfAborted()
  const prompt = loaded.prompts.build(request)
  assertFits(loaded, prompt.tokenIds.length)
  const bias = Object.keys(request.sampling.logitBias ?? {})
  if (bias.length > 0) assertTokenIds(loaded, bias.map(Number), 'logit_bias')
  const grammar = await compileGrammar(loaded, request, prompt)
  using linked = callSignal(loaded, options.signal)
  const { signal } = linked
  const state = { load: options.load, save: options.save, partition: options.partition ?? '' }
  const lease = await leaseFor(loaded, prompt.tokenIds, { ...state, signal })
  const seed = BigInt.asUintN(64, request.seed === undefined ? options.seed : BigInt(request.seed))
  const tally = { completionTokens: 0, reasoningTokens: 0 }
  try {
    yield* answer(loaded, { request, prompt, grammar, lease, state, seed, signal, tally })
    await saveWanted(loaded, lease.slot, state)
  } finally {
    lease.release()
  }
}

async function* answer(loaded: LoadedModel, run: Run): AsyncGenerator<GenerationEvent> {
  const { lease, state, signal } = run
  const { tokenIds } = run.prompt
  const promptTokens = tokenIds.length
  const begun = await begin(loaded, lease, tokenIds, { ...state, signal })
  const { cachedTokens, importedTokens, importMs } = begun
  const start: StartEvent = {
    type: 'start',
    promptTokens,
    cachedTokens,
    ...(importedTokens === 0 ? {} : { importedTokens, importMs }),
  }
  yield* answerChoice(loaded, run, { index: 0, left: begun.left, start })
  for (let index = 1; index < run.request.choiceCount; index++) {
    const { left } = await resume(loaded, lease.slot, tokenIds, { ...state, signal })
    yield* answerChoice(loaded, run, { index, left })
  }
  yield { type: 'usage', usage: { promptTokens, cachedTokens, ...run.tally } }
}

interface Choice {
  readonly index: number
  /** Of the prompt (`ResidentSequence.prefill`). */
  readonly left: readonly number[]
  /**
   * Told when the first token was drawn: the end of the prompt is computed with it, and until
   * something was told another process can answer in place of one that dies.
   */
  readonly start?: StartEvent
}

async function* answerChoice(
  loaded: LoadedModel,
  run: Run,
  { index, left, start }: Choice,
): AsyncGenerator<GenerationEvent> {
  const decoder = decoderOf(loaded, run, { index, left })
  const events = answerEventsOf(loaded, run, index)
  const room = loaded.contextTokens - run.prompt.tokenIds.length
  const maxTokens = Math.min(run.request.maxTokens ?? room, room)
  // Of what was drawn by evaluating one token, not by the end of a prompt.
  const decoded = { tokens: 0, tookMs: 0 }
  let reason: 'stop' | 'length' = 'length'
  let count = 0
  if (start !== undefined && maxTokens === 0) yield start
  while (count < maxTokens && reason === 'length') {
    const startedMs = loaded.clock.monotonicMs()
    const token = await decoder.next()
    if (token.evaluatedTokens === 1) {
      decoded.tokens += 1
      decoded.tookMs += loaded.clock.monotonicMs() - startedMs
    }
    if (start !== undefined && count === 0) yield start
    if (token.isEnd) {
      reason = 'stop'
      break
    }
    count += 1
    run.tally.completionTokens += 1
    yield* events.push(token)
    if (events.isStopped) reason = 'stop'
  }
  loaded.rates.decoded(decoded.tokens, decoded.tookMs)
  run.tally.reasoningTokens += events.reasoningTokens
  yield* events.finish(reason)
}

function decoderOf(loaded: LoadedModel, run: Run, { index, left }: Choice): Decoder {
  const { sampling, topLogprobs } = run.request
  return new Decoder(loaded.native, run.lease.slot, left, {
    sampling,
    topLogprobs,
    seed: run.seed + BigInt(index),
    grammar: run.grammar,
    signal: run.signal,
  })
}

function answerEventsOf(loaded: LoadedModel, run: Run, choice: number): AnswerEvents {
  const { request, prompt, seed } = run
  const tools = functionTools(request)
  const mayCall = request.kind === 'chat' && tools.length > 0 && request.toolChoice.type !== 'none'
  return new AnswerEvents(loaded.tokenBytes, {
    choice,
    seed,
    stop: request.stop,
    reasoning: prompt.reasoning,
    toolFormat: mayCall ? loaded.template.toolFormat : undefined,
    toolNames: new Set(tools.map(tool => tool.name)),
  })
}

async function compileGrammar(
  loaded: LoadedModel,
  request: CompletionRequest,
  prompt: Prompt,
): Promise<LlamaGrammar | undefined> {
  const text = outputGrammar(request, {
    toolFormat: loaded.template.toolFormat,
    isThinking: prompt.reasoning === 'open',
  })
  if (text === undefined) return undefined
  try {
    return await loaded.native.llama.createGrammar({ grammar: text })
  } catch (error) {
    const field = request.responseFormat.type === 'text' ? 'tools' : 'response_format'
    const message = `The schema in '${field}' refers to itself in a way that no answer can end`
    throw new OperationError('request_invalid', message, { origin: 'client', field, cause: error })
  }
}
