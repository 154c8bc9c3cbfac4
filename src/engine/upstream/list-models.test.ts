import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import {
  modelList,
  type Routes,
  startTestUpstream,
  type TestUpstream,
} from '../../../test/support/test-upstream.ts'
import { silentLog } from '../../interface/log.ts'
import { emptyRequest } from '../../key/completion-request.ts'
import { systemClock, VirtualClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { discoverUpstreams } from './discover.ts'
import { UpstreamEngine } from './upstream-engine.ts'

const { signal } = new AbortController()
const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function serve(routes: Routes): Promise<TestUpstream> {
  const upstream = await startTestUpstream(routes)
  cleanUps.push(() => upstream.stop())
  return upstream
}

async function engineOf(url: string, clock = systemClock): Promise<UpstreamEngine> {
  const engine = new UpstreamEngine(
    { clock, log: silentLog, random: systemRandom },
    { name: 'box', url, connectTimeoutMs: 2_000, idleTimeoutMs: 2_000 },
  )
  await engine.start({ signal })
  cleanUps.push(() => engine.stop())
  return engine
}

const digest = 'a'.repeat(64)
const ollama: Routes = {
  'GET /v1/models': modelList('llama3:latest', 'embedder:v1'),
  'GET /api/tags': exchange =>
    exchange.json({
      models: [
        {
          name: 'llama3:latest',
          digest,
          size: 4_000,
          details: { parameter_size: '8.0B', quantization_level: 'Q4_0' },
        },
        { name: 'embedder:v1', digest: 'b'.repeat(64), size: 1_000 },
      ],
    }),
  'POST /api/show': exchange =>
    exchange.body['model'] === 'llama3:latest'
      ? exchange.json({
          parameters: 'stop "x"\nnum_ctx    8192',
          model_info: { 'llama.context_length': 131_072 },
          capabilities: ['completion', 'tools'],
        })
      : exchange.json({
          model_info: { 'bert.context_length': 512 },
          capabilities: ['embedding'],
        }),
}
const llamaServer: Routes = {
  'GET /v1/models': exchange =>
    exchange.json({
      models: [{ name: 'tiny.gguf' }],
      data: [{ id: 'tiny.gguf', owned_by: 'llamacpp', meta: { n_ctx_train: 32_768, size: 99 } }],
    }),
  'GET /props': exchange =>
    exchange.json({ default_generation_settings: { n_ctx: 2_048 }, total_slots: 2 }),
  'GET /api/tags': exchange => exchange.json({ models: [{ name: 'tiny.gguf' }] }),
  'POST /apply-template': exchange => exchange.json({ prompt: '<|user|>Hi<|assistant|>' }),
  'POST /tokenize': exchange =>
    exchange.body['content'] === '<|user|>Hi<|assistant|>'
      ? exchange.json({ tokens: [1, 2, 3] })
      : exchange.json({ error: { message: 'unexpected' } }, 400),
}
const vllm: Routes = {
  'GET /v1/models': exchange =>
    exchange.json({ data: [{ id: 'org/model', owned_by: 'vllm', max_model_len: 16_384 }] }),
}
const lmStudio: Routes = {
  'GET /v1/models': modelList('qwen', 'nomic'),
  'GET /api/v0/models': exchange =>
    exchange.json({
      data: [
        { id: 'qwen', type: 'llm', quantization: 'Q8_0', max_context_length: 32_768 },
        { id: 'nomic', type: 'embeddings', max_context_length: 2_048 },
      ],
    }),
}

describe('UpstreamEngine models() of', () => {
  it('Ollama: ids from digests, the context it allocates, embedding models', async () => {
    const { url } = await serve(ollama)
    const [llama, embedder] = (await engineOf(url)).models()
    assert.equal(llama?.id, `sha256:${digest}`)
    assert.deepEqual(llama.aliases, ['llama3', 'box/llama3:latest', 'box/llama3'])
    assert.equal(llama.contextTokens, 8_192)
    assert.deepEqual(llama.details, {
      origin: `${url}/v1`,
      bytes: 4_000,
      quantization: 'Q4_0',
      parameters: '8.0B',
    })
    assert.deepEqual([embedder?.capabilities.chat, embedder?.contextTokens], [false, 512])
  })

  it('llama-server: the context of a slot, and token counts through its template', async () => {
    const { url } = await serve(llamaServer)
    const engine = await engineOf(url)
    const [model] = engine.models()
    assert.equal(engine.upstreamKind, 'llama-server')
    assert.equal(model?.id, 'name:tiny.gguf')
    assert.equal(model.contextTokens, 2_048)
    const request = {
      ...emptyRequest,
      kind: 'chat',
      model: 'tiny.gguf',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
      unknown: { api: 'openai', fields: {} },
    } as const
    assert.equal(await model.countTokens(request, { signal }), 3)
  })

  it('vLLM and LM Studio: contexts under their own names', async () => {
    const [model] = (await engineOf((await serve(vllm)).url)).models()
    assert.deepEqual([model?.name, model?.contextTokens], ['org/model', 16_384])
    const [qwen, nomic] = (await engineOf((await serve(lmStudio)).url)).models()
    assert.deepEqual([qwen?.contextTokens, qwen?.details.quantization], [32_768, 'Q8_0'])
    assert.equal(nomic?.capabilities.chat, false)
  })

  it('anybody: hostile entries are left out, and counting is nobody’s failure', async () => {
    const { url } = await serve({
      'GET /v1/models': exchange =>
        exchange.json({ data: [null, 7, {}, { id: '' }, { id: 'x'.repeat(9_999) }, { id: 'ok' }] }),
    })
    const models = (await engineOf(url)).models()
    assert.deepEqual(
      models.map(model => [model.name, model.contextTokens]),
      [['ok', undefined]],
    )
  })

  it('an upstream that goes: none if it never was there, else those last seen', async () => {
    const gone = await startTestUpstream({})
    await gone.stop()
    const clock = new VirtualClock()
    const engine = await engineOf(gone.url, clock)
    assert.deepEqual(engine.models(), [])
    assert.equal(engine.failure?.code, 'upstream_unreachable')

    const state = { isUp: true }
    const { url } = await serve({
      'GET /v1/models': exchange => {
        if (state.isUp) modelList('m')(exchange)
        else exchange.json({}, 503)
      },
    })
    const other = await engineOf(url)
    const [model] = other.models()
    state.isUp = false
    await other.refresh({ signal })
    assert.equal(other.failure?.code, 'upstream_failed')
    assert.deepEqual(other.models(), [model])
    state.isUp = true
    await other.refresh({ signal })
    assert.equal(other.failure, undefined)
    assert.equal(other.models()[0], model, 'the same model object while nothing changed')
  })

  it('asks again by itself after a while', async () => {
    const names = ['before']
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    const upstream = await serve({
      'GET /v1/models': exchange => {
        modelList(...names)(exchange)
        if (names[0] === 'after') resolve()
      },
    })
    const clock = new VirtualClock()
    const engine = await engineOf(upstream.url, clock)
    assert.equal(engine.models()[0]?.name, 'before')
    names[0] = 'after'
    clock.advance(60_000)
    await asked
    // The list is taken when the engine has read it: ask for one more turn of the same queue.
    await engine.refresh({ signal })
    assert.equal(engine.models()[0]?.name, 'after')
  })
})

describe('discoverUpstreams() finds', () => {
  const find = (
    upstreams: readonly TestUpstream[],
    deadlineMs = 2_000,
  ): ReturnType<typeof discoverUpstreams> => {
    const ports = upstreams.map(upstream => upstream.port)
    return discoverUpstreams({ signal, clock: systemClock, ports, deadlineMs })
  }

  it('each kind of server by its answers, whatever its port', async () => {
    const servers = await Promise.all([ollama, llamaServer, vllm, lmStudio].map(serve))
    const found = await find(servers)
    assert.deepEqual(
      found.map(({ kind, models }) => [kind, ...models]),
      [
        ['ollama', 'llama3:latest', 'embedder:v1'],
        ['llama-server', 'tiny.gguf'],
        ['vllm', 'org/model'],
        ['lm-studio', 'qwen', 'nomic'],
      ],
    )
    assert.equal(found[0]?.url, `${servers[0]?.url}/v1`)
    await Promise.all(servers.map(server => server.idle()))
  })

  it('nobody on a closed port, no web server without a list, and no node of ours', async () => {
    const closed = await startTestUpstream({})
    await closed.stop()
    const web = await serve({
      'GET /v1/models': ({ response }) => {
        response.end('<html>Welcome</html>')
      },
    })
    const list = await serve({ 'GET /v1/models': exchange => exchange.json([1, 2]) })
    const ours = await serve({
      ...ollama,
      'GET /version': exchange => exchange.json({ name: 'hyperspace', version: '0.1.0' }),
    })
    assert.deepEqual(await find([closed, web, list, ours]), [])
  })

  it('nothing at a server that does not answer in time', async () => {
    const silent = await serve({ 'GET /v1/models': () => undefined })
    const clock = new VirtualClock()
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    const slow = await serve({ 'GET /version': () => resolve() })
    const ports = [silent.port, slow.port]
    const found = discoverUpstreams({ signal, clock, ports })
    await asked
    clock.advance(500)
    assert.deepEqual(await found, [])
  })
})
