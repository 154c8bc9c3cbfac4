import type { Agent } from 'undici'
import { OperationError, requestInvalid } from '../../../errors.ts'
import { hubReplyBytesMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { AbortOptions } from '../../../std/signal.ts'
import { fileStem, hubFileName, type ModelReference } from '../model-name.ts'
import { httpGet, statusFailure } from './http-get.ts'
import { chooseHubFile, labelOf, modelFilesOf } from './hub-files.ts'
import { withRetries } from './retry.ts'

export interface HubSettings {
  /** The model hub's address. @default 'https://huggingface.co' */
  readonly endpoint?: string | undefined
  /** Bearer token for private and gated repositories. */
  readonly token?: string | undefined
}

/** Where a model's file is and what is known of it before it is fetched. */
export interface ResolvedModel {
  readonly url: URL
  readonly token: string | undefined
  /** Name of its file in the model folder. */
  readonly fileName: string
  readonly expectedBytes: number | undefined
  readonly expectedSha256: string | undefined
}

export interface ResolveOptions extends AbortOptions, HubSettings {
  readonly clock: Clock
  readonly agent: Agent
}

/**
 * Finds the file that a reference means. Asks the hub for the repository's files; a URL is taken as
 * it is.
 *
 * @throws model_not_found with the quantisations that there are, download_failed when the hub does
 *   not answer
 */
export async function resolveModel(
  reference: ModelReference,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  if (reference.kind === 'url') return resolveUrl(reference.url)
  const { org, repo, tag } = reference
  const endpoint = checkedEndpoint(options.endpoint ?? 'https://huggingface.co')
  const reply = await askHub(new URL(`${endpoint}/api/models/${org}/${repo}?blobs=true`), options)
  const files = modelFilesOf(reply)
  const file = chooseHubFile(files, `${org}/${repo}`, tag)
  const path = file.path.split('/').map(encodeURIComponent).join('/')
  return {
    url: new URL(`${endpoint}/${org}/${repo}/resolve/main/${path}`),
    token: options.token,
    fileName: hubFileName(org, repo, labelOf(file, files)),
    expectedBytes: file.bytes,
    expectedSha256: file.sha256,
  }
}

function resolveUrl(url: URL): ResolvedModel {
  const stem = fileStem(url)
  if (stem === undefined) throw requestInvalid('model', 'The address names no .gguf file')
  const unknown = { expectedBytes: undefined, expectedSha256: undefined }
  // No token: it is the hub's, and this may be anybody's server.
  return { url, token: undefined, fileName: `${stem}.gguf`, ...unknown }
}

function checkedEndpoint(endpoint: string): string {
  const url = URL.parse(endpoint)
  if (url !== null && /^https?:$/.test(url.protocol)) return endpoint.replace(/\/+$/, '')
  throw requestInvalid('HF_ENDPOINT', `'${endpoint}' is not the http(s) address of a model hub`)
}

async function askHub(url: URL, options: ResolveOptions): Promise<unknown> {
  return await withRetries(
    async () => {
      const headers = { accept: 'application/json' }
      const reply = await httpGet(url, { ...options, token: options.token, headers })
      if (reply.statusCode !== 200) throw await statusFailure(reply, pageOf(url))
      const chunks: Uint8Array[] = []
      let replyBytes = 0
      for await (const chunk of reply.body) {
        if (!(chunk instanceof Uint8Array)) continue
        replyBytes += chunk.byteLength
        if (replyBytes > hubReplyBytesMax) throw hubFailure(url, 'sent too long a list of files')
        chunks.push(chunk)
      }
      return parseJson(Buffer.concat(chunks).toString('utf8'), url)
    },
    {
      clock: options.clock,
      signal: options.signal,
      purpose: `Cannot ask ${url.host} for the model`,
      hasProgressed: () => false,
    },
  )
}

function parseJson(text: string, url: URL): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw hubFailure(url, 'sent no JSON: is it a model hub?')
  }
}

/** The page that a person would open. */
function pageOf(url: URL): string {
  return `${url.host}${url.pathname.replace('/api/models/', '/')}`
}

function hubFailure(url: URL, reason: string): OperationError {
  return new OperationError('download_failed', `${pageOf(url)} ${reason}`, { origin: 'upstream' })
}
