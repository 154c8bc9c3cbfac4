import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { OperationError } from '../../errors.ts'
import { silentLog } from '../../interface/log.ts'
import { downloadAttemptsMax, GiB } from '../../limits.ts'
import type { Clock } from '../../std/clock.ts'
import { ModelDigests } from './model-digest.ts'
import {
  type DownloadProgress,
  type PulledModel,
  type PullOptions,
  pullModel,
} from './pull-model.ts'

const model = await readFile(
  fileURLToPath(new URL('../../../models/tiny-chat-q8_0.gguf', import.meta.url)),
)
const modelSha256 = createHash('sha256').update(model).digest('hex')
const half = 1_000_000

/** One request as the server saw it. */
interface Seen {
  readonly path: string
  readonly range: string | undefined
  readonly ifRange: string | undefined
  readonly authorization: string | undefined
}

/** How the storage behind the hub behaves; tests change it. */
interface Behaviour {
  content: Buffer
  etag: string | undefined
  ignoresRanges: boolean
  /** So many replies stop at `half` and hold the connection until it is broken from outside. */
  stallCount: number
  /** Statuses to answer with, before anything is served. */
  statuses: { status: number; headers?: { [name: string]: string } }[]
}

describe('pullModel()', () => {
  let root = ''
  let dataDir = ''
  let hub: Server
  let storage: Server
  let endpoint = ''
  let cdn = ''
  let seen: Seen[] = []
  let stalled: ServerResponse[] = []
  let pausesMs: number[] = []
  let siblings: unknown[] = []
  let hubStatus: { status: number; body: string } | undefined
  let behaviour: Behaviour

  /** A clock on which every pause is over at once and every look shows a second more. */
  let elapsedMs = 0
  const clock: Clock = {
    now: () => 0,
    monotonicMs: () => (elapsedMs += 1_000),
    after(ms, callback) {
      pausesMs.push(ms)
      const immediate = setImmediate(callback)
      return () => clearImmediate(immediate)
    },
  }

  function note(request: IncomingMessage): string {
    const { range, authorization } = request.headers
    const path = request.url ?? ''
    const ifRange = request.headers['if-range']
    seen.push({ path, range, ifRange: ifRange?.toString(), authorization })
    return path
  }

  function serveHub(request: IncomingMessage, response: ServerResponse): void {
    const path = note(request)
    if (hubStatus !== undefined) response.writeHead(hubStatus.status).end(hubStatus.body)
    else if (path.startsWith('/api/')) {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ id: 'org/Tiny-Chat-GGUF', siblings }))
    } else {
      response.writeHead(302, { location: `${cdn}/blob?X-Signature=secret` }).end()
    }
  }

  function serveStorage(request: IncomingMessage, response: ServerResponse): void {
    note(request)
    const status = behaviour.statuses.shift()
    if (status !== undefined) {
      response.writeHead(status.status, status.headers).end('no')
      return
    }
    const { content, etag } = behaviour
    const ifRange = request.headers['if-range']
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]
    const isRange =
      asked !== undefined && !behaviour.ignoresRanges && (ifRange === undefined || ifRange === etag)
    const start = isRange ? Number(asked) : 0
    if (isRange && start >= content.byteLength) {
      response.writeHead(416, { 'content-range': `bytes */${content.byteLength}` }).end()
      return
    }
    response.writeHead(isRange ? 206 : 200, {
      ...(etag === undefined ? {} : { etag }),
      'content-length': content.byteLength - start,
      ...(isRange
        ? { 'content-range': `bytes ${start}-${content.byteLength - 1}/${content.byteLength}` }
        : {}),
    })
    if (behaviour.stallCount > 0 && start < half) {
      behaviour.stallCount--
      stalled.push(response)
      response.write(content.subarray(start, half))
    } else response.end(content.subarray(start))
  }

  /** Cuts the connections that hold once the client has all that was sent. */
  function breakAtHalf(progress: DownloadProgress): void {
    if (progress.receivedBytes < half) return
    for (const response of stalled.splice(0)) response.destroy()
  }

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'pull-model-'))
    hub = createServer(serveHub).listen(0, '127.0.0.1')
    storage = createServer(serveStorage).listen(0, '127.0.0.1')
    endpoint = await originOf(hub)
    cdn = await originOf(storage)
  })
  after(async () => {
    for (const server of [hub, storage]) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
    await rm(root, { recursive: true, force: true })
  })
  beforeEach(async () => {
    dataDir = await mkdtemp(join(root, 'data-'))
    seen = []
    pausesMs = []
    hubStatus = undefined
    siblings = [
      { rfilename: 'README.md', size: 10 },
      sibling('Tiny-Chat-Q8_0.gguf', model),
      sibling('Tiny-Chat-Q4_K_M.gguf', model),
      sibling('mmproj-Tiny-Chat-F16.gguf', model),
    ]
    behaviour = {
      content: model,
      etag: '"one"',
      ignoresRanges: false,
      stallCount: 0,
      statuses: [],
    }
  })
  afterEach(() => {
    for (const response of stalled.splice(0)) response.destroy()
    stalled = []
  })

  function pull(reference: string, options: Partial<PullOptions> = {}): Promise<PulledModel> {
    const digests = new ModelDigests({ log: silentLog }, { dataDir })
    const { signal } = new AbortController()
    return pullModel(reference, { clock, digests }, { dataDir, endpoint, signal, ...options })
  }

  async function refusal(
    reference: string,
    options: Partial<PullOptions> = {},
  ): Promise<OperationError> {
    try {
      await pull(reference, options)
    } catch (error) {
      assert.ok(error instanceof OperationError, `threw ${String(error)}`)
      assert.ok(!error.message.includes('\n') && !error.message.includes('secret'), error.message)
      return error
    }
    assert.fail('was not refused')
  }

  const files = async (): Promise<string[]> => (await readdir(join(dataDir, 'models'))).sort()
  const downloads = (): Seen[] => seen.filter(({ path }) => path.startsWith('/blob'))

  it('fetches the default quantisation through a redirect and remembers its digest', async () => {
    const steps: string[] = []
    const progress: DownloadProgress[] = []
    const result = await pull('hf:org/Tiny-Chat-GGUF', {
      onStep: step => steps.push(step),
      onProgress: step => progress.push(step),
    })
    assert.equal(result.outcome, 'pulled')
    assert.equal(result.name, 'org/Tiny-Chat-GGUF:Q4_K_M')
    assert.deepEqual(result.aliases, ['org/Tiny-Chat-GGUF', 'tiny-chat', 'tiny-chat:q4_k_m'])
    assert.equal(result.id, `sha256:${modelSha256}`)
    assert.equal(result.header.architecture, 'llama')
    assert.deepEqual(await readFile(result.path), model)
    assert.deepEqual(await files(), ['digests.json', 'org--Tiny-Chat-GGUF--Q4_K_M.gguf'])
    assert.deepEqual(steps, ['resolving', 'checking', 'downloading', 'verifying'])
    assert.deepEqual(
      seen.map(({ path }) => path),
      [
        '/api/models/org/Tiny-Chat-GGUF?blobs=true',
        '/org/Tiny-Chat-GGUF/resolve/main/Tiny-Chat-Q4_K_M.gguf',
        '/blob?X-Signature=secret',
      ],
    )
    assert.equal(progress[0]?.receivedBytes, 0)
    assert.equal(progress.at(-1)?.receivedBytes, model.byteLength)
    assert.ok(progress.every(step => step.totalBytes === model.byteLength))
    assert.ok((progress.at(-1)?.bytesPerSecond ?? 0) > 0)
  })

  it('downloads nothing when the folder has the file already', async () => {
    await pull('hf:org/Tiny-Chat-GGUF:q8_0')
    seen = []
    const again = await pull('hf.co/org/Tiny-Chat-GGUF:Q8_0')
    assert.equal(again.outcome, 'present')
    assert.equal(again.name, 'org/Tiny-Chat-GGUF:Q8_0')
    assert.deepEqual(downloads(), [])
  })

  it('fetches again when the hub has another version of the file', async () => {
    await pull('hf:org/Tiny-Chat-GGUF:Q8_0')
    const newer = Buffer.from(model)
    newer[newer.length - 1] = 7
    behaviour.content = newer
    siblings = [sibling('Tiny-Chat-Q8_0.gguf', newer)]
    const result = await pull('hf:org/Tiny-Chat-GGUF:Q8_0')
    assert.equal(result.outcome, 'pulled')
    assert.deepEqual(await readFile(result.path), newer)
  })

  it('goes on after a connection that broke, from where it was', async () => {
    behaviour.stallCount = 1
    const result = await pull('hf:org/Tiny-Chat-GGUF', { onProgress: breakAtHalf })
    assert.deepEqual(await readFile(result.path), model)
    assert.deepEqual(
      downloads().map(({ range }) => range),
      [undefined, `bytes=${half}-`],
    )
    assert.deepEqual(pausesMs, [1_000])
  })

  it('gives up after a bounded number of failures and keeps what has arrived', async () => {
    behaviour.stallCount = 1
    behaviour.statuses = []
    const failures = Array.from({ length: downloadAttemptsMax }, () => ({ status: 503 }))
    const error = await refusal('hf:org/Tiny-Chat-GGUF', {
      onProgress: progress => {
        if (progress.receivedBytes >= half) behaviour.statuses = failures
        breakAtHalf(progress)
      },
    })
    assert.equal(error.code, 'download_failed')
    assert.equal(error.retryable, true)
    assert.match(error.message, /out of order.*\(HTTP 503\).*Gave up after 6 attempts/)
    assert.equal(downloads().length, downloadAttemptsMax)
    assert.deepEqual(pausesMs, [1_000, 2_000, 4_000, 8_000, 16_000])

    behaviour.statuses = []
    seen = []
    const result = await pull('hf:org/Tiny-Chat-GGUF')
    assert.deepEqual(await readFile(result.path), model)
    assert.deepEqual(
      downloads().map(({ range }) => range),
      [`bytes=${half}-`],
    )
  })

  it('keeps the part when aborted, and continues it', async () => {
    behaviour.stallCount = 1
    const controller = new AbortController()
    const run = pull('hf:org/Tiny-Chat-GGUF', {
      signal: controller.signal,
      onProgress: progress => {
        if (progress.receivedBytes >= half) controller.abort()
      },
    })
    await assert.rejects(run, { name: 'AbortError' })
    const name = 'org--Tiny-Chat-GGUF--Q4_K_M.gguf'
    assert.deepEqual(await files(), [`${name}.part`, `${name}.part.json`])
    seen = []
    const progress: DownloadProgress[] = []
    const result = await pull('hf:org/Tiny-Chat-GGUF', { onProgress: step => progress.push(step) })
    assert.deepEqual(await readFile(result.path), model)
    assert.equal(downloads()[0]?.range, `bytes=${half}-`)
    assert.equal(progress[0]?.receivedBytes, half, 'the first report is of the download')
    assert.equal(progress.at(-1)?.receivedBytes, model.byteLength)
    assert.deepEqual(await files(), ['digests.json', name])
  })

  it('starts over when the server ignores ranges', async () => {
    behaviour.stallCount = 1
    behaviour.ignoresRanges = true
    const result = await pull('hf:org/Tiny-Chat-GGUF', { onProgress: breakAtHalf })
    assert.deepEqual(await readFile(result.path), model)
    assert.equal(downloads().length, 2)
  })

  it('starts over when the part is of another version', async () => {
    behaviour.stallCount = 1
    const controller = new AbortController()
    const run = pull('hf:org/Tiny-Chat-GGUF:Q8_0', {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await assert.rejects(run, { name: 'AbortError' })
    const newer = Buffer.from(model)
    newer[newer.length - 1] = 7
    behaviour.content = newer
    siblings = [sibling('Tiny-Chat-Q8_0.gguf', newer)]
    seen = []
    const result = await pull('hf:org/Tiny-Chat-GGUF:Q8_0')
    assert.deepEqual(await readFile(result.path), newer)
    assert.equal(downloads()[0]?.range, undefined)
  })

  it('removes a file whose digest is not the announced one', async () => {
    const damaged = Buffer.from(model)
    damaged[half] = (damaged[half] ?? 0) ^ 1
    behaviour.content = damaged
    const error = await refusal('hf:org/Tiny-Chat-GGUF')
    assert.equal(error.code, 'download_failed')
    assert.match(error.message, /arrived damaged and was removed/)
    assert.deepEqual(await files(), [])
  })

  it('removes a part that was damaged on the disk, by the digest', async () => {
    behaviour.stallCount = 1
    const controller = new AbortController()
    const run = pull('hf:org/Tiny-Chat-GGUF', {
      signal: controller.signal,
      onProgress: ({ receivedBytes }) => receivedBytes >= half && controller.abort(),
    })
    await assert.rejects(run, { name: 'AbortError' })
    const part = join(dataDir, 'models', 'org--Tiny-Chat-GGUF--Q4_K_M.gguf.part')
    const bytes = await readFile(part)
    bytes[500_000] = (bytes[500_000] ?? 0) ^ 1
    await writeFile(part, bytes)
    assert.match((await refusal('hf:org/Tiny-Chat-GGUF')).message, /arrived damaged/)
    assert.equal((await pull('hf:org/Tiny-Chat-GGUF')).outcome, 'pulled')
  })

  it('sends the token to the hub only', async () => {
    await pull('hf:org/Tiny-Chat-GGUF', { token: 'hf_token' })
    assert.deepEqual(
      seen.map(({ authorization }) => authorization),
      ['Bearer hf_token', 'Bearer hf_token', undefined],
    )
  })

  it('explains refusals of the hub', async () => {
    hubStatus = { status: 401, body: 'Invalid username or password.' }
    const unauthorized = await refusal('hf:org/Secret-GGUF')
    assert.equal(unauthorized.code, 'download_failed')
    assert.match(unauthorized.message, /127.0.0.1:\d+\/org\/Secret-GGUF asks for a login.*HF_TOKEN/)
    hubStatus = { status: 404, body: '' }
    assert.match((await refusal('hf:org/Absent-GGUF')).message, /does not exist.*HTTP 404/)
    hubStatus = { status: 200, body: '<html>' }
    assert.match((await refusal('hf:org/Page-GGUF')).message, /sent no JSON/)
    hubStatus = { status: 200, body: '{"siblings":7}' }
    assert.match((await refusal('hf:org/Odd-GGUF')).message, /lists no files/)
    assert.deepEqual(pausesMs, [], 'none of these passes by waiting')
  })

  it('waits as long as a busy server asks', async () => {
    behaviour.statuses = [{ status: 429, headers: { 'retry-after': '7' } }, { status: 503 }]
    assert.equal((await pull('hf:org/Tiny-Chat-GGUF')).outcome, 'pulled')
    assert.deepEqual(pausesMs, [7_000, 2_000])
  })

  it('refuses file names that lead out of the folder', async () => {
    siblings = [sibling('../../../etc/evil-Q4_K_M.gguf', model)]
    const error = await refusal('hf:org/Tiny-Chat-GGUF')
    assert.equal(error.code, 'download_failed')
    assert.match(error.message, /leads out of its folder/)
    await assert.rejects(access(join(dataDir, 'models')), 'nothing was made')
  })

  it('refuses a file that does not fit the disk before fetching any of it', async () => {
    siblings = [{ rfilename: 'Huge-Q8_0.gguf', size: 4_000 * GiB, lfs: { sha256: modelSha256 } }]
    const error = await refusal('hf:org/Huge-GGUF')
    assert.equal(error.origin, 'store')
    assert.match(error.message, /GiB free, but 4000.0 GiB are needed/)
    assert.deepEqual(downloads(), [])
  })

  it('refuses a file of another size than the hub announced', async () => {
    behaviour.content = model.subarray(0, 5_000)
    assert.match((await refusal('hf:org/Tiny-Chat-GGUF')).message, /5000 bytes, but 2161120/)
  })

  it('lets one process at a time pull a model, and takes over from a dead one', async () => {
    await mkdir(join(dataDir, 'models'))
    const lock = join(dataDir, 'models', 'org--Tiny-Chat-GGUF--Q4_K_M.gguf.part.pid')
    await writeFile(lock, String(process.pid))
    const error = await refusal('hf:org/Tiny-Chat-GGUF')
    assert.match(error.message, new RegExp(`Process ${process.pid} is pulling this model already`))
    await writeFile(lock, String(spawnSync('true').pid))
    assert.equal((await pull('hf:org/Tiny-Chat-GGUF')).outcome, 'pulled')
  })

  it('says so when the model folder cannot be made', async () => {
    await writeFile(join(dataDir, 'models'), '')
    const error = await refusal('hf:org/Tiny-Chat-GGUF')
    assert.equal(error.origin, 'store')
    assert.match(error.message, /Cannot make the folder/)
  })

  describe('of a plain address', () => {
    it('fetches the file under its own name and then leaves it alone', async () => {
      const result = await pull(`${cdn}/blob/Some-Model.Q8_0.gguf?signature=secret`)
      assert.equal(result.name, 'Some-Model.Q8_0')
      assert.deepEqual(await readFile(result.path), model)
      assert.equal((await pull(`${cdn}/blob/Some-Model.Q8_0.gguf`)).outcome, 'present')
      assert.equal(downloads().length, 1)
    })

    it('continues only the version that it began with', async () => {
      behaviour.stallCount = 1
      const newer = Buffer.from(model)
      newer[500_000] = (newer[500_000] ?? 0) ^ 1
      const result = await pull(`${cdn}/blob.gguf`, {
        onProgress: progress => {
          if (progress.receivedBytes >= half && behaviour.etag === '"one"') {
            Object.assign(behaviour, { content: newer, etag: '"two"' })
          }
          breakAtHalf(progress)
        },
      })
      assert.deepEqual(await readFile(result.path), newer)
      assert.deepEqual(
        downloads().map(({ range, ifRange }) => [range, ifRange]),
        [
          [undefined, undefined],
          [`bytes=${half}-`, '"one"'],
        ],
      )
    })

    it('does not continue where nothing tells the version', async () => {
      behaviour.stallCount = 1
      behaviour.etag = undefined
      const result = await pull(`${cdn}/blob.gguf`, { onProgress: breakAtHalf })
      assert.deepEqual(await readFile(result.path), model)
      assert.equal(downloads()[1]?.range, undefined)
    })

    it('removes what is no model', async () => {
      behaviour.content = Buffer.from('<!doctype html><title>Not found</title>')
      const page = await refusal(`${cdn}/blob.gguf`)
      assert.equal(page.code, 'model_file_invalid')
      assert.match(page.message, /^What 127.0.0.1:\d+\/blob.gguf sent is a web page/)
      behaviour.content = model.subarray(0, half)
      assert.match((await refusal(`${cdn}/blob.gguf`)).message, /is truncated/)
      assert.deepEqual(await files(), [])
    })

    it('explains a missing file', async () => {
      behaviour.statuses = [{ status: 404 }]
      assert.match((await refusal(`${cdn}/blob.gguf`)).message, /blob.gguf does not exist/)
    })
  })
})

function sibling(name: string, content: Buffer): unknown {
  const sha256 = createHash('sha256').update(content).digest('hex')
  const size = content.byteLength
  return { rfilename: name, size, lfs: { sha256, size, pointerSize: 135 } }
}

async function originOf(server: Server): Promise<string> {
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return `http://127.0.0.1:${address.port}`
}
