import type { Clock } from '../../std/clock.ts'
import { isJsonObject } from '../../std/json.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import { UpstreamHttp } from './http/upstream-http.ts'
import { askUpstream, identifyUpstream, nameOf } from './identify-upstream.ts'
import type { UpstreamKind } from './wire/dialect.ts'

/** A server that was found on this machine. */
export interface FoundUpstream {
  /** What it is by its answers, whatever its port. */
  readonly kind: UpstreamKind
  /** As `UpstreamEngine` takes it. */
  readonly url: string
  readonly models: readonly string[]
}

export interface DiscoverOptions extends AbortOptions {
  readonly clock: Clock
  /** @default those of Ollama, llama-server, vLLM and LM Studio */
  readonly ports?: readonly number[]
  /** For one server, all questions together. @default 500 */
  readonly deadlineMs?: number
}

const defaultPorts = [11_434, 8_080, 8_000, 1_234]
const defaultDeadlineMs = 500

/**
 * Looks for inference servers on loopback, all ports at once. A port counts when it lists models as
 * OpenAI does and is no node of ours. Nobody there, or no answer in time, is no error. @throws only
 * the signal's reason
 */
export async function discoverUpstreams(
  options: DiscoverOptions,
): Promise<readonly FoundUpstream[]> {
  const ports = options.ports ?? defaultPorts
  const found = await Promise.all(ports.map(port => probe(port, options)))
  options.signal.throwIfAborted()
  return found.filter(upstream => upstream !== undefined)
}

async function probe(port: number, options: DiscoverOptions): Promise<FoundUpstream | undefined> {
  const { clock, deadlineMs = defaultDeadlineMs } = options
  const url = `http://127.0.0.1:${port}/v1`
  const timeouts = { connectTimeoutMs: deadlineMs, idleTimeoutMs: deadlineMs }
  const http = new UpstreamHttp(clock, { name: `port ${port}`, url, ...timeouts })
  const linked = linkSignal(clock, [options.signal], deadlineMs)
  http.open()
  try {
    if (await isOurNode(http, linked.signal)) return undefined
    const { kind, entries } = await identifyUpstream(http, linked.signal)
    return { kind, url, models: entries.map(nameOf) }
  } catch {
    // Nobody there, somebody else, or too slow: nothing to serve from, and nothing to tell.
    return undefined
  } finally {
    linked[Symbol.dispose]()
    await http.close()
  }
}

/**
 * Our node speaks these APIs too: a node that took itself or another for an upstream would ask in
 * circles.
 */
async function isOurNode(http: UpstreamHttp, signal: AbortSignal): Promise<boolean> {
  const version = await askUpstream(http, { method: 'GET', path: '/version' }, signal)
  return isJsonObject(version) && version['name'] === 'hyperspace'
}
