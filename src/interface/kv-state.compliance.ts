import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CompletionRequest } from '../key/completion-request.ts'
import { blockBytes, blockTokens } from '../key/state-layout.ts'
import type { EngineModel, GenerateOptions, TokenModel } from './engine.ts'
import type { GenerationEvent, StartEvent } from './generation.ts'
import type { BlockRows, StateAccess, StateOffer } from './kv-state.ts'

const signal = new AbortController().signal
type Chat = (fields?: Partial<CompletionRequest>) => CompletionRequest

interface Subject {
  readonly model: EngineModel
  readonly tokens: TokenModel
  readonly state: StateAccess
}

/**
 * The contract of KV state transfer, in code: run by the engines' suite. Nothing to test where an
 * engine has none, or a model's memory cannot be cut.
 */
export function describeState(model: () => EngineModel, chat: Chat): void {
  const withState = (work: (subject: Subject) => Promise<void>) => async (): Promise<void> => {
    const { tokens } = model()
    if (tokens === undefined || 'unavailable' in tokens.state) return
    await work({ model: model(), tokens, state: tokens.state })
  }
  /** A prompt of some hundred tokens that no other case has. */
  const long = (about: string): CompletionRequest =>
    chat({
      messages: [
        { role: 'system', content: [{ type: 'text', text: storyOf(about) }] },
        { role: 'user', content: [{ type: 'text', text: 'Who is it?' }] },
      ],
      sampling: { temperature: 0 },
      maxTokens: 8,
    })

  describe('KV state', () => {
    it(
      'generate() hands out the blocks that are to be kept, in order and whole',
      withState(async subject => {
        const { kept, tokenIds } = await computed(subject, long('fox'))
        assert.ok(tokenIds.length > 2 * blockTokens + 1, 'the prompt is long enough')
        assert.deepEqual(
          kept.map(({ index }) => index),
          [0, 1],
        )
        for (const { rows } of kept) {
          assert.equal(rows.length, blockBytes(subject.state.layout))
          assert.ok(isFinite16(rows), 'every number is finite')
        }
      }),
    )

    it(
      'exportBlocks() tells what is resident, to its partition only',
      withState(async ({ state, ...subject }) => {
        const { kept, tokenIds } = await computed({ state, ...subject }, long('owl'), 'a')
        assert.equal(state.residentTokens(tokenIds, 'b'), 0)
        assert.ok(state.residentTokens(tokenIds, 'a') >= 2 * blockTokens)
        const range = { from: 0, to: 2 }
        const exported = await state.exportBlocks(tokenIds, range, { partition: 'a', signal })
        assert.deepEqual(
          exported?.map(asBuffer),
          kept.map(({ rows }) => asBuffer(rows)),
        )
        const other = await state.exportBlocks(tokenIds, range, { partition: 'b', signal })
        assert.equal(other, undefined)
        const unknown = tokenIds.toReversed()
        const none = await state.exportBlocks(unknown, range, { partition: 'a', signal })
        assert.equal(none, undefined)
      }),
    )

    it(
      'generate() on offered blocks answers as it would have without',
      withState(async subject => {
        const request = long('elk')
        const cold = await computed(subject, request, 'c')
        const rows = cold.kept.map(block => block.rows)
        const warm = await computed(subject, request, 'd', offerOf(rows))
        assert.equal(cold.start.importedTokens ?? 0, 0)
        assert.equal(warm.start.importedTokens, 2 * blockTokens)
        assert.equal(warm.start.cachedTokens, 2 * blockTokens)
        assert.deepEqual(warm.text, cold.text)
        assert.deepEqual(
          warm.kept.map(block => asBuffer(block.rows)),
          rows.map(asBuffer),
        )
      }),
    )

    it(
      'generate() goes on behind what came of an offer that ended early',
      withState(async subject => {
        const request = long('bee')
        const cold = await computed(subject, request, 'e')
        const [first] = cold.kept
        assert.ok(first)
        const offer = { ...offerOf([first.rows]), tokens: 2 * blockTokens }
        const warm = await computed(subject, request, 'f', offer)
        assert.equal(warm.start.importedTokens, blockTokens)
        assert.deepEqual(warm.text, cold.text)
      }),
    )

    it(
      'generate() asks no offer that reaches no further than what is resident',
      withState(async subject => {
        const request = long('ant')
        await computed(subject, request, 'g')
        let wasAsked = false
        const offer: StateOffer = {
          tokens: blockTokens,
          async *blocks() {
            wasAsked = true
            yield new Uint8Array(0)
          },
        }
        const warm = await computed(subject, request, 'g', offer)
        assert.equal(wasAsked, false)
        assert.equal(warm.start.importedTokens ?? 0, 0)
        assert.ok((warm.start.cachedTokens ?? 0) >= 2 * blockTokens)
      }),
    )

    it(
      'recomputeBlock() comes to the same rows',
      withState(async subject => {
        const { kept, tokenIds } = await computed(subject, long('cod'), 'h')
        const [first, second] = kept
        assert.ok(first && second)
        const { state } = subject
        const upToSecond = tokenIds.slice(0, 2 * blockTokens)
        const again = await state.recomputeBlock(upToSecond, offerOf([first.rows]), { signal })
        assert.deepEqual(asBuffer(again), asBuffer(second.rows))
        const upToFirst = tokenIds.slice(0, blockTokens)
        const begin = await state.recomputeBlock(upToFirst, offerOf([]), { signal })
        assert.deepEqual(asBuffer(begin), asBuffer(first.rows))
      }),
    )

    it(
      'prompt() tells what system text and marks come to',
      withState(async ({ tokens }) => {
        const request = long('yak')
        const marked: CompletionRequest = {
          ...request,
          cache: { isMarked: true, marks: [{ after: 'message', message: 0 }] },
        }
        const { tokenIds, headTokens, markTokens } = await tokens.prompt(marked, { signal })
        assert.ok(headTokens > 2 * blockTokens && headTokens < tokenIds.length)
        const [markEnd] = markTokens
        assert.ok(markEnd !== undefined && Math.abs(markEnd - headTokens) < 8)
        const other = await tokens.prompt(
          { ...request, messages: [...request.messages.slice(0, 1), ...chat().messages] },
          { signal },
        )
        assert.deepEqual(
          other.tokenIds.slice(0, headTokens),
          tokenIds.slice(0, headTokens),
          'another question has the same head',
        )
      }),
    )
  })
}

interface Computed {
  readonly tokenIds: readonly number[]
  readonly start: StartEvent
  readonly text: string
  readonly kept: readonly { readonly index: number; readonly rows: BlockRows }[]
}

/** Answers a request and keeps its first two blocks. */
async function computed(
  { model, tokens }: Subject,
  request: CompletionRequest,
  partition = 'compliance',
  offer?: StateOffer,
): Promise<Computed> {
  const { tokenIds } = await tokens.prompt(request, { signal })
  const kept: { index: number; rows: BlockRows }[] = []
  const keep = {
    range: { from: 0, to: 2 },
    take: (index: number, rows: BlockRows) => {
      kept.push({ index, rows })
    },
  }
  const prefix = { tokenIds, keep, ...(offer && { offer }) }
  const options: GenerateOptions = { seed: 1n, signal, partition, prefix }
  const events: GenerationEvent[] = await Array.fromAsync(model.generate(request, options))
  const start = events.find(event => event.type === 'start')
  assert.ok(start)
  const texts = events.map(event => (event.type === 'text' ? event.text : ''))
  return { tokenIds, start, text: texts.join(''), kept }
}

function offerOf(rows: readonly BlockRows[]): StateOffer {
  return {
    tokens: rows.length * blockTokens,
    async *blocks() {
      yield* rows
    },
  }
}

function storyOf(animal: string): string {
  const sentence = `The ${animal} in the wood has seen you come, and it waits beside the old tree. `
  return sentence.repeat(24)
}

/** A comparable copy: the rows may lie in shared memory. */
function asBuffer(rows: BlockRows): Buffer {
  return Buffer.from(rows)
}

/** Half-precision numbers whose exponent bits are not all ones. */
function isFinite16(rows: BlockRows): boolean {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength)
  for (let at = 0; at < view.byteLength; at += 2) {
    if ((view.getUint16(at, true) & 0x7c00) === 0x7c00) return false
  }
  return true
}
