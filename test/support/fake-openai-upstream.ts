import { OperationError } from '../../src/errors.ts'
import type { EngineModel } from '../../src/interface/engine.ts'
import type { GenerationEvent, TokenLogprob } from '../../src/interface/generation.ts'
import {
  type CompletionRequest,
  emptyRequest,
  type Message,
  type Tool,
} from '../../src/key/completion-request.ts'
import { isJsonObject, type Json, type JsonObject } from '../../src/std/json.ts'
import { type Exchange, startTestUpstream, type TestUpstream } from './test-upstream.ts'

/**
 * A small vLLM-like server that answers with an engine model: what the upstream adapter's
 * compliance runs against.
 */
export async function startFakeOpenAiUpstream(model: EngineModel): Promise<TestUpstream> {
  const complete = (exchange: Exchange): Promise<void> => answer(model, exchange)
  return await startTestUpstream({
    'GET /v1/models': exchange =>
      exchange.json({
        data: [{ id: model.name, owned_by: 'vllm', max_model_len: model.contextTokens }],
      }),
    'POST /v1/chat/completions': complete,
    'POST /v1/completions': complete,
    'POST /tokenize': async exchange => {
      const signal = new AbortController().signal
      exchange.json({ count: await model.countTokens(requestOf(exchange.body), { signal }) })
    },
    'POST /v1/embeddings': async exchange => {
      const { input } = exchange.body
      const inputs = (Array.isArray(input) ? input : [input]).map(String)
      const signal = new AbortController().signal
      const { vectors, promptTokens } = await model.embed(inputs, { signal })
      exchange.json({
        data: vectors.map((vector, index) => ({
          index,
          embedding: Buffer.from(vector.buffer).toString('base64'),
        })),
        usage: { prompt_tokens: promptTokens },
      })
    },
  })
}

async function answer(model: EngineModel, exchange: Exchange): Promise<void> {
  const controller = new AbortController()
  exchange.response.on('close', () => controller.abort())
  const isText = exchange.route.endsWith('/v1/completions')
  const request = requestOf(exchange.body)
  try {
    for await (const event of model.generate(request, { seed: 0n, signal: controller.signal })) {
      if (event.type === 'usage') exchange.events({ choices: [], usage: usageOf(event) })
      else exchange.events({ id: 'reply', choices: choicesOf(event, isText) })
    }
    exchange.events('[DONE]')
    exchange.response.end()
  } catch (error) {
    if (controller.signal.aborted) return
    if (!(error instanceof OperationError)) throw error
    if (error.code !== 'context_length_exceeded') throw error
    exchange.json({ error: { message: vllmMessage(error), code: 400 } }, 400)
  }
}

function vllmMessage(error: OperationError): string {
  const [contextTokens, promptTokens] = error.message.match(/\d+/g) ?? []
  return (
    `This model's maximum context length is ${contextTokens} tokens. However, you requested ` +
    `${promptTokens} tokens (${promptTokens} in the messages, 0 in the completion).`
  )
}

function requestOf(body: JsonObject): CompletionRequest {
  const messages = arrayOf(body['messages']).map(
    (message): Message => ({
      role: 'user',
      content: [{ type: 'text', text: String(message['content']) }],
    }),
  )
  const { prompt, max_tokens: maxTokens, n, temperature, response_format: format } = body
  const schema = isJsonObject(format) ? format['json_schema'] : undefined
  const isForced = isJsonObject(body['tool_choice'])
  const tools = arrayOf(body['tools']).map((tool): Tool => toolOf(tool['function']))
  const [forced] = tools
  const topLogprobs = body['top_logprobs'] ?? body['logprobs']
  return {
    ...emptyRequest,
    kind: messages.length === 0 ? 'text' : 'chat',
    model: String(body['model']),
    messages,
    ...(typeof prompt === 'string' ? { prompt } : {}),
    tools,
    ...(isForced && forced?.type === 'function'
      ? { toolChoice: { type: 'function', name: forced.name } }
      : {}),
    ...(isJsonObject(schema) && isJsonObject(schema['schema'])
      ? { responseFormat: { type: 'json_schema', schema: schema['schema'] } }
      : {}),
    ...(typeof maxTokens === 'number' ? { maxTokens } : {}),
    ...(typeof topLogprobs === 'number' ? { topLogprobs } : {}),
    choiceCount: typeof n === 'number' ? n : 1,
    sampling: typeof temperature === 'number' ? { temperature } : {},
    stop: Array.isArray(body['stop']) ? body['stop'].map(String) : [],
    unknown: { api: 'openai', fields: {} },
  }
}

function toolOf(definition: Json | undefined): Tool {
  if (!isJsonObject(definition)) return { type: 'other', value: {} }
  const { name, parameters, description } = definition
  return {
    type: 'function',
    name: String(name),
    ...(typeof description === 'string' ? { description } : {}),
    ...(isJsonObject(parameters) ? { parameters } : {}),
  }
}

function arrayOf(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}

function choicesOf(event: GenerationEvent, isText: boolean): readonly unknown[] {
  if (event.type === 'start' || event.type === 'usage') return []
  const index = event.choice
  if (event.type === 'finish') return [{ index, delta: {}, finish_reason: event.reason }]
  if (event.type === 'text') {
    const logprobs = logprobsOf(event.logprobs)
    if (isText) return [{ index, text: event.text, logprobs, finish_reason: null }]
    const delta =
      event.kind === 'reasoning' ? { reasoning_content: event.text } : { content: event.text }
    return [{ index, delta, logprobs, finish_reason: null }]
  }
  const call =
    event.type === 'tool-call'
      ? { index: event.call, id: event.id, function: { name: event.name, arguments: '' } }
      : { index: event.call, function: { arguments: event.text } }
  return [{ index, delta: { tool_calls: [call] } }]
}

function logprobsOf(logprobs: readonly TokenLogprob[] | undefined): unknown {
  if (logprobs === undefined) return null
  return { content: logprobs.map(({ top, ...entry }) => ({ ...entry, top_logprobs: top })) }
}

function usageOf(event: Extract<GenerationEvent, { type: 'usage' }>): unknown {
  const { promptTokens, completionTokens, reasoningTokens } = event.usage
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  }
}
