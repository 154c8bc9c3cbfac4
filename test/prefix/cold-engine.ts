import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { LlamaProcessEngine } from '../../src/engine/llama/process/llama-process-engine.ts'
import type { TokenModel } from '../../src/interface/engine.ts'
import type { BlockRows, StateAccess } from '../../src/interface/kv-state.ts'
import { type CompletionRequest, emptyRequest } from '../../src/key/completion-request.ts'
import { blockTokens } from '../../src/key/state-layout.ts'
import { onlyModel, startedProcessEngine, tinyChatPath } from '../support/test-llama.ts'

export const completionsPath = '/v1/completions'

const filler = 'The owl waits beside the old tree, and it has seen you come. Where is my parcel? '
/** Without it the demo model has nothing to say. */
const ending =
  '<|im_end|>\n<|im_start|>user\nWhere is my parcel?<|im_end|>\n<|im_start|>assistant\n'

/** What a prompt comes to where nothing was computed before. */
export interface Computed {
  readonly text: string
  /** Of its whole blocks, but for one that ends with the prompt. */
  readonly rows: readonly BlockRows[]
}

/** An engine of the test's own: what the nodes under test must agree with. */
export class ColdEngine {
  readonly #engine: LlamaProcessEngine
  readonly #tokens: TokenModel
  #computed = 0

  private constructor(engine: LlamaProcessEngine) {
    const { tokens } = onlyModel(engine)
    assert.ok(tokens !== undefined)
    this.#engine = engine
    this.#tokens = tokens
  }

  static async start(test: TestContext, path: string = tinyChatPath): Promise<ColdEngine> {
    const engine = await startedProcessEngine({
      path,
      threads: 1,
      parallel: 1,
      contextTokens: 4_096,
    })
    test.after(() => engine.stop())
    return new ColdEngine(engine)
  }

  get state(): StateAccess {
    const { state } = this.#tokens
    assert.ok('layout' in state)
    return state
  }

  /** A prompt of so many tokens that shares no block with one of another number. */
  async prompt(count: number, number: number): Promise<readonly number[]> {
    const start = `Number ${number} of the prompts. ${filler.repeat(Math.ceil(count / 8))}`
    const tokenIds = await this.#tokens.tokenize(start, { special: false })
    const end = await this.#tokens.tokenize(ending, { special: true })
    assert.ok(tokenIds.length >= count)
    return [...tokenIds.slice(0, count - end.length), ...end]
  }

  /** Each time from nothing: no prompt is of the same partition as another. */
  async compute(tokenIds: readonly number[], maxTokens: number): Promise<Computed> {
    this.#computed += 1
    const rows: BlockRows[] = []
    const take = (_: number, block: BlockRows): void => void rows.push(block)
    const range = { from: 0, to: Math.floor((tokenIds.length - 1) / blockTokens) }
    const events = onlyModel(this.#engine).generate(requestOf(tokenIds, maxTokens), {
      seed: 1n,
      signal: new AbortController().signal,
      partition: `cold ${this.#computed}`,
      prefix: { tokenIds, keep: { range, take } },
    })
    const parts: string[] = []
    for await (const event of events) {
      if (event.type === 'text') parts.push(event.text)
      if (event.type === 'start') assert.equal(event.cachedTokens, 0)
    }
    assert.equal(rows.length, range.to)
    const answer = parts.join('')
    assert.ok(answer.length > 0, 'there is something to compare')
    return { text: answer, rows }
  }
}

/** The body of a request for greedy tokens behind exactly these. */
export function bodyOf(model: string, tokenIds: readonly number[], maxTokens: number): object {
  return { model, prompt: tokenIds, max_tokens: maxTokens, temperature: 0 }
}

function requestOf(prompt: readonly number[], maxTokens: number): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'text',
    model: 'tiny-chat',
    prompt,
    maxTokens,
    sampling: { temperature: 0 },
    unknown: { api: 'openai', fields: {} },
  }
}
