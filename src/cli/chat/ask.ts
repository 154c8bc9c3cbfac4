import { createParser } from 'eventsource-parser'
import { parseObject, reach, refusalOf } from '../../client/admin-client.ts'
import { OperationError } from '../../errors.ts'
import { upstreamEventBytesMax } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { isJsonObject, type JsonObject } from '../../std/json.ts'
import type { AbortOptions } from '../../std/signal.ts'

export interface ChatTurn {
  readonly role: 'user' | 'assistant'
  readonly content: string
}

export interface AskComponents {
  readonly clock: Clock
  /** Of the OpenAI API: `http://127.0.0.1:11500/v1`. */
  readonly baseUrl: string
}

export interface AskOptions extends AbortOptions {
  readonly model: string
  readonly sample: number
  readonly isCached: boolean
  readonly apiKey: string | undefined
  /** Called with each piece of the answer as it comes. */
  readonly onText: (text: string, kind: 'text' | 'reasoning') => void
}

/** What stays the same from question to question. */
export interface ChatSettings extends Omit<AskOptions, 'signal' | 'onText'> {
  readonly baseUrl: string
}

export interface Answer {
  readonly text: string
  /** `memory`, `disk`, `engine`, `upstream` … as the node says. */
  readonly source: string
  /** Until the answer was complete. */
  readonly seconds: number
  readonly savedTokens: number
  /** Why it was not a hit. */
  readonly reason: string | undefined
}

/**
 * One question through the node's own API, as any client would ask it.
 * @throws node_not_running, model_not_found …; the signal's reason when it is aborted
 */
export async function ask(
  turns: readonly ChatTurn[],
  { clock, baseUrl }: AskComponents,
  options: AskOptions,
): Promise<Answer> {
  const { model, signal } = options
  const startedMs = clock.monotonicMs()
  const reply = await reach(new URL(`${baseUrl}/chat/completions`), {
    method: 'POST',
    signal,
    headers: headersOf(options),
    body: JSON.stringify({ model, messages: turns, stream: true }),
  })
  if (!reply.ok || reply.body === null) {
    throw refusalOf(reply.status, parseObject(await reply.text()))
  }
  const text = await readStream(reply.body, options)
  return {
    text,
    source: reply.headers.get('x-hyperspace-source') ?? 'unknown',
    seconds: (clock.monotonicMs() - startedMs) / 1_000,
    savedTokens: Number(reply.headers.get('x-hyperspace-saved-tokens') ?? 0),
    reason: reply.headers.get('x-hyperspace-reason') ?? undefined,
  }
}

function headersOf({ sample, isCached, apiKey }: AskOptions): { [name: string]: string } {
  return {
    'content-type': 'application/json',
    ...(sample === 0 ? {} : { 'x-hyperspace-sample': String(sample) }),
    ...(isCached ? {} : { 'cache-control': 'no-cache' }),
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  }
}

/**
 * Returns the whole text. @throws what the node says in the stream; engine_failed for one that was
 * cut off
 */
async function readStream(
  body: AsyncIterable<Uint8Array>,
  { onText, signal }: AskOptions,
): Promise<string> {
  let text = ''
  let isComplete = false
  const parser = createParser({
    maxBufferSize: upstreamEventBytesMax,
    onEvent({ data }) {
      if (data === '[DONE]') {
        isComplete = true
        return
      }
      const chunk = parseObject(data)
      if (isJsonObject(chunk?.['error'])) throw refusalOf(500, chunk)
      for (const { kind, piece } of piecesOf(chunk)) {
        if (kind === 'text') text += piece
        onText(piece, kind)
      }
    },
    onError(error) {
      throw error
    },
  })
  const decoder = new TextDecoder()
  try {
    for await (const bytes of body) parser.feed(decoder.decode(bytes, { stream: true }))
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof OperationError ? error : cutOff(error)
  }
  if (!isComplete) throw cutOff(undefined)
  return text
}

type Piece = { readonly kind: 'text' | 'reasoning'; readonly piece: string }

function piecesOf(chunk: JsonObject | undefined): readonly Piece[] {
  const choices = chunk?.['choices']
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined
  const delta = isJsonObject(choice) ? choice['delta'] : undefined
  if (!isJsonObject(delta)) return []
  const { content, refusal, reasoning_content: reasoning } = delta
  return [
    ...pieceOf('reasoning', reasoning),
    ...pieceOf('text', content),
    ...pieceOf('text', refusal),
  ]
}

function pieceOf(kind: Piece['kind'], piece: unknown): readonly Piece[] {
  return typeof piece === 'string' && piece !== '' ? [{ kind, piece }] : []
}

function cutOff(cause: unknown): OperationError {
  return new OperationError('engine_failed', 'The answer broke off: see `hyperspace logs`', {
    origin: 'self',
    cause,
  })
}
