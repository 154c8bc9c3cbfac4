import { accessSync, constants, existsSync, statfsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { AdminClient, parseObject } from '../../client/admin-client.ts'
import type { Config } from '../../config.ts'
import { findRunningNode } from '../../data-folder.ts'
import { diskReserveBytes } from '../../limits.ts'
import { systemClock } from '../../std/clock.ts'
import { linkSignal } from '../../std/signal.ts'
import type { CommandContext } from '../command.ts'
import { describeError } from '../exit-code.ts'
import { bytesText } from '../format.ts'
import type { Finding } from './finding.ts'

/** For a program on this machine to say what it is. */
const introductionTimeoutMs = 1_000

export async function checkDataFolder({ data }: CommandContext): Promise<Finding> {
  const name = 'Data folder'
  const nearest = nearestFolder(data)
  const elsewhere = 'or choose another folder with --data DIR'
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK)
  } catch (error) {
    const remedy = `change the owner or mode of ${nearest}, ${elsewhere}`
    return { name, isOk: false, detail: `${data}: ${describe(error)}`, remedy }
  }
  const { bavail, bsize } = statfsSync(nearest)
  const freeBytes = bavail * bsize
  const state = nearest === data ? '' : ' (made at the first start)'
  const detail = `${data}${state}, ${bytesText(freeBytes)} free`
  if (freeBytes > diskReserveBytes) return { name, isOk: true, detail }
  return { name, isOk: false, detail, remedy: `free some space, ${elsewhere}` }
}

export async function checkNodeProcess({ data, signal }: CommandContext): Promise<Finding> {
  const name = 'Node'
  const node = findRunningNode(data)
  if (node === undefined) return { name, isOk: true, detail: 'none runs on this folder' }
  try {
    const { state, version } = await new AdminClient(node).status({ signal })
    const detail = `${version}, ${state}, pid ${node.pid} at ${node.url}`
    return { name, isOk: true, detail }
  } catch (error) {
    signal.throwIfAborted()
    const detail = `pid ${node.pid} holds the folder, but: ${describe(error)}`
    return { name, isOk: false, detail, remedy: `end it (kill ${node.pid}) and start it again` }
  }
}

/** Free, held by our own node, or by another program: which one, where it says so. */
export async function checkPort(
  { data, signal }: CommandContext,
  { host, port }: Config,
): Promise<Finding> {
  const name = 'Port'
  const own = findRunningNode(data)?.url
  if (own !== undefined && new URL(own).port === String(port)) {
    return { name, isOk: true, detail: `${port} is this node's own` }
  }
  const failure = await listenFailure(host, port)
  if (failure === undefined) {
    return { name, isOk: true, detail: port === 0 ? 'any free one' : `${port} is free` }
  }
  const remedy = 'choose another with --port PORT, or stop the program that has it'
  if (failure.code !== 'EADDRINUSE') {
    return { name, isOk: false, detail: `${host}:${port}: ${failure.message}`, remedy }
  }
  const holder = await introduction(`http://127.0.0.1:${port}`, signal)
  return { name, isOk: false, detail: `${port} is taken by ${holder}`, remedy }
}

/** Why a port cannot be listened on; undefined when it can. */
export function listenFailure(
  host: string,
  port: number,
): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', resolve)
    server.listen({ host, port }, () => server.close(() => resolve(undefined)))
  })
}

async function introduction(url: string, signal: AbortSignal): Promise<string> {
  const linked = linkSignal(systemClock, [signal], introductionTimeoutMs)
  try {
    const reply = await fetch(`${url}/version`, { signal: linked.signal })
    const { name, version } = parseObject(await reply.text()) ?? {}
    if (name === 'hyperspace')
      return `another Hyperspace node (${version}) with its own data folder`
    const root = await fetch(url, { signal: linked.signal })
    const isOllama = (await root.text()).startsWith('Ollama')
    return isOllama ? 'Ollama' : `an HTTP server (${root.headers.get('server') ?? 'unnamed'})`
  } catch {
    signal.throwIfAborted()
    // It listens, but does not speak HTTP, or not in time.
    return 'another program'
  } finally {
    linked[Symbol.dispose]()
  }
}

function nearestFolder(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : nearestFolder(dirname(path))
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : describeError(error)
}
