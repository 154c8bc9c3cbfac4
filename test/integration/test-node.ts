import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Config, resolveConfig } from '../../src/config.ts'
import { FakeEngine, type FakeEngineOptions } from '../../src/engine/fake/fake-engine.ts'
import { createNode, type HyperspaceNode } from '../../src/node.ts'
import type { Clock } from '../../src/std/clock.ts'

/** A real node on a real port and a data folder of its own, stopped when the test ends. */
export interface TestNode {
  readonly url: string
  readonly data: string
  readonly node: HyperspaceNode
  /** Stops it and starts another on the same folder. */
  restart(): Promise<TestNode>
  stop(): Promise<void>
}

export interface TestNodeOptions {
  /** A fake engine with these options instead of the bundled demo model. */
  readonly fake?: FakeEngineOptions
  readonly engine?: FakeEngine
  readonly flags?: { readonly [name: string]: unknown }
  readonly data?: string
  readonly clock?: Clock
}

export function temporaryFolder(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-test-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function testConfig(data: string, flags: TestNodeOptions['flags'] = {}): Config {
  const given = { port: '0', discover: false, ...flags }
  return resolveConfig({ data, flags: given, env: {} }).config
}

export async function startNode(
  test: TestContext,
  options: TestNodeOptions = {},
): Promise<TestNode> {
  const data = options.data ?? temporaryFolder(test)
  const engine =
    options.engine ?? (options.fake === undefined ? undefined : new FakeEngine(options.fake))
  const { clock } = options
  const node = createNode(testConfig(data, options.flags), {
    ...(engine === undefined ? {} : { engines: { engines: [engine], upstreams: [] } }),
    ...(clock === undefined ? {} : { clock }),
  })
  await node.start({ signal: test.signal })
  test.after(async () => {
    const stopping = node.stop()
    // A test that failed may have left requests behind: they would be waited for.
    node.abort()
    await stopping
  })
  return {
    url: node.status().urls.anthropic,
    data,
    node,
    stop: () => node.stop(),
    restart: async () => {
      await node.stop()
      return await startNode(test, { ...options, data })
    },
  }
}

/** Posts JSON. */
export async function post(
  url: string,
  body: unknown,
  headers: { readonly [name: string]: string } = {},
): Promise<Response> {
  return await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}
