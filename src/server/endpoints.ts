import type { ModelTable } from '../cache/model-table.ts'
import { OperationError } from '../errors.ts'
import type { EngineModel } from '../interface/engine.ts'
import type { Clock } from '../std/clock.ts'
import { encodeTokenCount, parseCountTokens } from './anthropic/count-tokens.ts'
import { encodeError as encodeAnthropicError } from './anthropic/errors.ts'
import { messages } from './anthropic/messages.ts'
import * as anthropicModels from './anthropic/models.ts'
import type { CompletionEndpoint, PlainCall, PlainEndpoint, PlainReply } from './endpoint.ts'
import * as catalog from './ollama/catalog.ts'
import { ollamaChat } from './ollama/chat.ts'
import { encodeError as encodeOllamaError } from './ollama/errors.ts'
import { ollamaGenerate } from './ollama/generate.ts'
import { encodeLoadReply, modelToLoad } from './ollama/load.ts'
import { chatCompletions } from './openai/chat-completions.ts'
import { completions } from './openai/completions.ts'
import { encodeEmbeddings, parseEmbeddings } from './openai/embeddings.ts'
import { encodeError as encodeOpenaiError } from './openai/errors.ts'
import * as openaiModels from './openai/models.ts'
import { responses } from './openai/responses.ts'
import { errorEncoderOf } from './reply/error-encoder.ts'
import { Router } from './router.ts'
import type { ErrorEncoder, WireFormat } from './wire-format.ts'

export interface EndpointComponents {
  readonly models: ModelTable
  readonly clock: Clock
  readonly version: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly metrics: { text(): Promise<string>; readonly contentType: string }
  /** Why the node cannot answer now; undefined when it can. */
  readonly unreadyReason: () => string | undefined
}

/** Every path that asks a model, with the API that it speaks. */
export const completionFormats: ReadonlyMap<string, WireFormat> = new Map([
  ['/v1/chat/completions', chatCompletions],
  ['/v1/completions', completions],
  ['/v1/responses', responses],
  ['/v1/messages', messages],
  ['/api/chat', ollamaChat],
  ['/api/generate', ollamaGenerate],
])

/** The client APIs. */
export function createRouter(parts: EndpointComponents): Router {
  const router = new Router()
  for (const [path, format] of completionFormats) {
    router.add('POST', path, completionEndpoint(path, format, parts))
  }
  addOpenai(router, parts)
  addAnthropic(router, parts)
  addOllama(router, parts)
  addOperation(router, parts)
  return router
}

function completionEndpoint(
  path: string,
  format: WireFormat,
  { clock, models }: EndpointComponents,
): CompletionEndpoint {
  const encodeError = errorEncoderOf(path)
  if (!path.startsWith('/api/')) return { kind: 'completion', format, encodeError }
  const api = path === '/api/chat' ? 'chat' : 'generate'
  return {
    kind: 'completion',
    format,
    encodeError,
    answerOther: body => {
      const wanted = modelToLoad(body, api)
      if (wanted === undefined) return undefined
      models.resolve(wanted)
      return encodeLoadReply(body, api, clock.now())
    },
  }
}

function addOpenai(router: Router, { models, startedAt }: EndpointComponents): void {
  const created = Math.floor(startedAt / 1_000)
  router.add(
    'GET',
    '/v1/models',
    open(encodeOpenaiError, call => {
      const list = served(models)
      return json(
        isAnthropic(call)
          ? anthropicModels.encodeModelList(list)
          : openaiModels.encodeModelList(list, created),
      )
    }),
  )
  router.add(
    'GET',
    '/v1/models/*',
    open(encodeOpenaiError, call => {
      const { model } = models.resolve(call.rest)
      return json(
        isAnthropic(call)
          ? anthropicModels.encodeModel(model)
          : openaiModels.encodeModel(model, created),
      )
    }),
  )
  router.add('POST', '/v1/embeddings', {
    kind: 'plain',
    api: 'embeddings',
    access: 'client',
    encodeError: encodeOpenaiError,
    handle: async call => {
      const request = parseEmbeddings(await call.json())
      const { model } = models.resolve(request.model)
      const { dimensions } = request
      const vectors = await model.embed(request.inputs, {
        signal: call.signal,
        ...(dimensions === undefined ? {} : { dimensions }),
      })
      return json(encodeEmbeddings(request, vectors))
    },
  })
}

function addAnthropic(router: Router, { models }: EndpointComponents): void {
  router.add('POST', '/v1/messages/count_tokens', {
    kind: 'plain',
    api: 'count_tokens',
    access: 'client',
    encodeError: encodeAnthropicError,
    handle: async call => {
      const request = parseCountTokens(await call.json())
      const { model } = models.resolve(request.model)
      const tokens = await model.countTokens(request, { signal: call.signal })
      if (tokens !== undefined) return json(encodeTokenCount(tokens))
      throw new OperationError(
        'unsupported',
        `The upstream of '${model.name}' does not count tokens`,
        {
          origin: 'upstream',
          field: 'model',
        },
      )
    },
  })
}

function addOllama(router: Router, { models, startedAt, version }: EndpointComponents): void {
  const options = { modifiedMs: startedAt }
  router.add(
    'GET',
    '/api/tags',
    open(encodeOllamaError, () => json(catalog.encodeTags(served(models), options))),
  )
  router.add(
    'GET',
    '/api/ps',
    open(encodeOllamaError, () => json(catalog.encodeRunning(served(models)))),
  )
  router.add(
    'GET',
    '/api/version',
    open(encodeOllamaError, () => json(catalog.encodeVersion(version))),
  )
  router.add(
    'POST',
    '/api/show',
    open(encodeOllamaError, async call => {
      const name = catalog.parseShow(await call.json())
      return json(catalog.encodeShow(models.resolve(name).model, options))
    }),
  )
}

function addOperation(router: Router, parts: EndpointComponents): void {
  const { metrics, version, unreadyReason } = parts
  const health = nobody(() => ({ body: { status: 'ok' } }))
  const ready = nobody(() => {
    const reason = unreadyReason()
    if (reason === undefined) return { body: { status: 'ready' } }
    return { status: 503, body: { status: 'unready', reason } }
  })
  for (const path of ['/health', '/healthz']) router.add('GET', path, health)
  for (const path of ['/ready', '/readyz']) router.add('GET', path, ready)
  router.add(
    'GET',
    '/version',
    nobody(() => ({ body: { name: 'hyperspace', version } })),
  )
  router.add(
    'GET',
    '/metrics',
    open(encodeOpenaiError, async () => ({
      contentType: metrics.contentType,
      body: await metrics.text(),
    })),
  )
  router.add(
    'GET',
    '/',
    nobody(() => ({
      body: 'Hyperspace is running. OpenAI API at /v1, Anthropic API at /, Ollama API at /api\n',
    })),
  )
}

function open(encodeError: ErrorEncoder, handle: PlainEndpoint['handle']): PlainEndpoint {
  return { kind: 'plain', api: 'other', access: 'client', encodeError, handle }
}

function nobody(handle: PlainEndpoint['handle']): PlainEndpoint {
  return { kind: 'plain', api: 'other', access: 'nobody', encodeError: encodeOpenaiError, handle }
}

function json(body: string): PlainReply {
  return { contentType: 'application/json', body }
}

function served(models: ModelTable): readonly EngineModel[] {
  return models.list().map(({ model }) => model)
}

function isAnthropic(call: PlainCall): boolean {
  return call.headers['anthropic-version'] !== undefined
}
