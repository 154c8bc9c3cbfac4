import { OperationError } from '../../../../errors.ts'
import type { EngineModel, GenerateOptions, TokenModel } from '../../../../interface/engine.ts'
import type { GenerationEvent } from '../../../../interface/generation.ts'
import type { CompletionRequest } from '../../../../key/completion-request.ts'
import type { AbortOptions } from '../../../../std/signal.ts'
import type { NativeStateAccess, NativeStateOptions } from '../../state/native-state.ts'
import type { LoadedFacts, Result, ValueCall } from '../engine-messages.ts'

/** A model on the engine's side of the process border: KV state comes and goes as files. */
export interface NativeModel extends EngineModel {
  readonly nativeState: NativeStateAccess | { readonly unavailable: string }
  generate(
    request: CompletionRequest,
    options: GenerateOptions & NativeStateOptions,
  ): AsyncIterable<GenerationEvent>
}

/** @throws what the model's own method does */
export async function answerCall(
  model: NativeModel,
  call: ValueCall,
  options: AbortOptions,
): Promise<Result> {
  const { method } = call
  switch (method) {
    case 'countTokens':
      return { method, value: await model.countTokens(call.request, options) }
    case 'embed':
      return { method, value: await model.embed(call.inputs, { ...call.options, ...options }) }
    case 'tokenize':
      return { method, value: await tokensOf(model).tokenize(call.text, call.options) }
    case 'detokenize':
      return { method, value: await tokensOf(model).detokenize(call.tokenIds) }
    case 'renderChat':
      return { method, value: await tokensOf(model).renderChat(call.request) }
    case 'prompt':
      return { method, value: await tokensOf(model).prompt(call.request, options) }
    case 'score': {
      const scoring = { ...call.options, ...options }
      return { method, value: await tokensOf(model).score(call.tokenIds, scoring) }
    }
    case 'saveState': {
      const saving = { ...options, partition: call.partition }
      return { method, value: await stateOf(model).save(call.file, saving) }
    }
    case 'recompute':
      await stateOf(model).recompute(call.what, options)
      return { method }
  }
}

/** What the node's side is told once. */
export function factsOf(model: NativeModel): LoadedFacts {
  const { id, name, aliases, contextTokens, capabilities, numericClass, details, tokens } = model
  return {
    ...{ id, name, aliases, contextTokens, capabilities, numericClass, details },
    tokens: tokens && { vocabularySize: tokens.vocabularySize, state: stateFactsOf(model) },
  }
}

export function tokensOf(model: NativeModel): TokenModel {
  if (model.tokens === undefined) throw unsupported(`Model '${model.name}' only gives embeddings`)
  return model.tokens
}

function stateOf({ name, nativeState }: NativeModel): NativeStateAccess {
  if ('unavailable' in nativeState) {
    throw unsupported(`Model '${name}' has no KV state to give: ${nativeState.unavailable}`)
  }
  return nativeState
}

function stateFactsOf({ nativeState }: NativeModel): NonNullable<LoadedFacts['tokens']>['state'] {
  if ('unavailable' in nativeState) return { unavailable: nativeState.unavailable }
  return { layout: nativeState.layout, sequences: nativeState.sequences }
}

function unsupported(message: string): OperationError {
  return new OperationError('unsupported', message, { origin: 'client', field: 'model' })
}
