import { contextLengthExceeded } from '../../errors.ts'
import type {
  GeneratedToken,
  ScoreOptions,
  TokenGenerateOptions,
  TokenModel,
  TokenScore,
} from '../../interface/engine.ts'
import { type CompletionRequest, type Message, textOf } from '../../key/completion-request.ts'
import { assert } from '../../std/assert.ts'
import { Continuation, draw, logprobOf } from './fake-language.ts'
import {
  fakeDetokenize,
  fakeTokenize,
  fakeVocabularySize,
  specialTokens,
} from './fake-tokenizer.ts'

/** Token-level access to the fake language. */
export class FakeTokenModel implements TokenModel {
  readonly vocabularySize: number = fakeVocabularySize
  readonly state: TokenModel['state'] = { unavailable: 'The fake engine keeps no KV state' }
  readonly tokenize: TokenModel['tokenize'] = fakeTokenize
  readonly detokenize: TokenModel['detokenize'] = fakeDetokenize
  readonly renderChat: TokenModel['renderChat'] = renderChat
  readonly promptTokens: TokenModel['promptTokens'] = promptTokensOf
  readonly #contextTokens: number
  readonly #pace: (signal: AbortSignal) => Promise<void>

  constructor(contextTokens: number, pace: (signal: AbortSignal) => Promise<void>) {
    this.#contextTokens = contextTokens
    this.#pace = pace
  }

  async *generateTokens(
    tokenIds: readonly number[],
    options: TokenGenerateOptions,
  ): AsyncGenerator<GeneratedToken> {
    if (tokenIds.length >= this.#contextTokens) {
      throw contextLengthExceeded(tokenIds.length, this.#contextTokens)
    }
    const maxTokens = Math.min(options.maxTokens, this.#contextTokens - tokenIds.length)
    const stopTokens = new Set([specialTokens.end, ...(options.stopTokens ?? [])])
    const continuation = new Continuation(tokenIds)
    for (let position = 0; position < maxTokens; position++) {
      await this.#pace(options.signal)
      const distribution = continuation.distribution()
      const temperature = options.sampling.temperature ?? 1
      const tokenId = draw(distribution, temperature, options.seed, position)
      if (stopTokens.has(tokenId)) return
      continuation.push(tokenId)
      if (options.topLogprobs === undefined) yield { tokenId }
      else {
        const logprob = logprobOf(tokenId, distribution)
        yield { tokenId, logprob, top: distribution.slice(0, options.topLogprobs) }
      }
    }
  }

  async score(tokenIds: readonly number[], options: ScoreOptions): Promise<readonly TokenScore[]> {
    assert(options.from > 0 && options.from <= tokenIds.length, 'Scoring starts after a token')
    await this.#pace(options.signal)
    const continuation = new Continuation(tokenIds.slice(0, options.from))
    return tokenIds.slice(options.from).map(tokenId => {
      const distribution = continuation.distribution()
      continuation.push(tokenId)
      const [best] = distribution
      assert(best !== undefined, 'Some token always comes next')
      const top = distribution.slice(0, options.topLogprobs)
      return { tokenId, logprob: logprobOf(tokenId, distribution), best, top }
    })
  }
}

export function promptTokensOf(request: CompletionRequest): readonly number[] {
  if (request.kind === 'chat') return fakeTokenize(renderChat(request), { special: true })
  const prompt = request.prompt ?? ''
  return typeof prompt === 'string' ? fakeTokenize(prompt, { special: false }) : prompt
}

/** Tools first, then the messages, as most templates do: what agents share lies in front. */
function renderChat(request: CompletionRequest): string {
  const tools = request.tools.length === 0 ? '' : `<|tools|>${JSON.stringify(request.tools)}<|end|>`
  return `${tools}${request.messages.map(renderMessage).join('')}<|assistant|>`
}

function renderMessage(message: Message): string {
  const role = message.role === 'developer' ? 'system' : message.role
  const calls = (message.toolCalls ?? []).map(call => `${call.name}(${call.arguments})`).join('')
  // A mark in a client's text must stay text: otherwise it could write messages of other roles.
  const text = textOf(message.content).replaceAll('<|', '<\u200b|')
  return `<|${role}|>${text}${calls}<|end|>`
}
