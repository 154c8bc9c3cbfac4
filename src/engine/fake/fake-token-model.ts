import { contextLengthExceeded } from '../../errors.ts'
import type {
  GeneratedToken,
  PromptTokens,
  ScoreOptions,
  TokenGenerateOptions,
  TokenModel,
  TokenScore,
} from '../../interface/engine.ts'
import {
  type CacheMark,
  type CompletionRequest,
  type Message,
  textOf,
} from '../../key/completion-request.ts'
import { assert } from '../../std/assert.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { commonPrefix } from '../common-prefix.ts'
import { Continuation, draw, logprobOf } from './fake-language.ts'
import type { FakeState } from './fake-state.ts'
import {
  fakeDetokenize,
  fakeTokenize,
  fakeVocabularySize,
  specialTokens,
} from './fake-tokenizer.ts'

/** Token-level access to the fake language. */
export class FakeTokenModel implements TokenModel {
  readonly vocabularySize: number = fakeVocabularySize
  readonly state: FakeState
  readonly #contextTokens: number
  readonly #pace: (signal: AbortSignal) => Promise<void>

  constructor(
    contextTokens: number,
    state: FakeState,
    pace: (signal: AbortSignal) => Promise<void>,
  ) {
    this.#contextTokens = contextTokens
    this.state = state
    this.#pace = pace
  }

  async tokenize(text: string, options: { readonly special: boolean }): Promise<readonly number[]> {
    return fakeTokenize(text, options)
  }

  async detokenize(tokenIds: readonly number[]): Promise<string> {
    return fakeDetokenize(tokenIds)
  }

  async renderChat(request: CompletionRequest): Promise<string> {
    return renderChat(request)
  }

  async prompt(request: CompletionRequest, options: AbortOptions): Promise<PromptTokens> {
    options.signal.throwIfAborted()
    const tokenIds = promptTokensOf(request)
    const common = (text: string): number =>
      commonPrefix(tokenIds, fakeTokenize(text, { special: true }))
    const marks = request.kind === 'chat' ? (request.cache?.marks ?? []) : []
    return {
      tokenIds,
      headTokens: request.kind === 'chat' ? common(renderHead(request)) : 0,
      markTokens: marks.map(mark => common(renderUpTo(request, mark))),
    }
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

/** What tools and leading system messages alone decide. */
function renderHead(request: CompletionRequest): string {
  const { messages } = request
  const others = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  const leading = others === -1 ? messages : messages.slice(0, others)
  return renderTools(request) + leading.map(renderMessage).join('')
}

function renderUpTo(request: CompletionRequest, mark: CacheMark): string {
  const tools = renderTools(request)
  if (mark.after === 'tools') return tools
  const message = request.messages[mark.message]
  if (message === undefined) return ''
  const before = request.messages.slice(0, mark.message).map(renderMessage).join('')
  if (mark.part === undefined) return tools + before + renderMessage(message)
  const content = message.content.slice(0, mark.part + 1)
  return tools + before + renderMessage({ ...message, content }).slice(0, -'<|end|>'.length)
}

/** Tools first, then the messages, as most templates do: what agents share lies in front. */
function renderChat(request: CompletionRequest): string {
  return `${renderTools(request)}${request.messages.map(renderMessage).join('')}<|assistant|>`
}

function renderTools({ tools }: CompletionRequest): string {
  return tools.length === 0 ? '' : `<|tools|>${JSON.stringify(tools)}<|end|>`
}

function renderMessage(message: Message): string {
  const role = message.role === 'developer' ? 'system' : message.role
  const calls = (message.toolCalls ?? []).map(call => `${call.name}(${call.arguments})`).join('')
  // A mark in a client's text must stay text: otherwise it could write messages of other roles.
  const text = textOf(message.content).replaceAll('<|', '<\u200b|')
  return `<|${role}|>${text}${calls}<|end|>`
}
