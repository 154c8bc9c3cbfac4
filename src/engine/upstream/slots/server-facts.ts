import { stat } from 'node:fs/promises'
import { OperationError } from '../../../errors.ts'
import { isJsonObject } from '../../../std/json.ts'
import type { UpstreamHttp } from '../http/upstream-http.ts'
import { askUpstream } from '../identify-upstream.ts'

/** What tells that a llama-server is still the same one, with the same model. */
export interface ServerFacts {
  readonly modelPath: string
  /** Size, time of change and inode of the model's file. */
  readonly modelStamp: string
  readonly build: string
  readonly slots: number
}

const propertiesCall = { method: 'GET', path: '/props' } as const

/** @throws unsupported, naming what is missing; the signal's reason */
export async function serverFacts(http: UpstreamHttp, signal: AbortSignal): Promise<ServerFacts> {
  const properties = await askUpstream(http, propertiesCall, signal)
  if (!isJsonObject(properties)) {
    throw notUsable('the upstream is no llama-server that tells its settings (/props)')
  }
  const { model_path: path, build_info: build, total_slots: slots } = properties
  if (typeof path !== 'string' || path === '') {
    throw notUsable('llama-server does not tell the path of its model')
  }
  const isCount = typeof slots === 'number' && Number.isInteger(slots) && slots > 0
  if (!isCount || slots > slotsMax) throw notUsable('llama-server does not tell its slots')
  return {
    modelPath: path,
    modelStamp: await stampOf(path),
    build: typeof build === 'string' ? build : 'unknown build',
    slots,
  }
}

/** Whether a server tells the same as it did. @throws only the signal's reason */
export async function isSameServer(
  http: UpstreamHttp,
  before: ServerFacts,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return JSON.stringify(await serverFacts(http, signal)) === JSON.stringify(before)
  } catch {
    signal.throwIfAborted()
    return false
  }
}

/** More than any machine has memory for. */
const slotsMax = 1_024

async function stampOf(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  if (facts?.isFile()) return `${facts.size} ${facts.mtimeNs} ${facts.ino}`
  throw notUsable(`the model of llama-server, ${path}, is no file of this machine`)
}

function notUsable(message: string): OperationError {
  return new OperationError('unsupported', message, { origin: 'upstream' })
}
