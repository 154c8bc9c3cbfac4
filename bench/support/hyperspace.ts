import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ServerProcess, startServer } from './server-process.ts'

export interface NodeTargetOptions {
  readonly upstream: string
  /** A folder for the node's data. */
  readonly folder: string
  readonly core: number
  /** More flags of `hyperspace up`. */
  readonly flags?: readonly string[]
}

/** A node as people run it: the command line, with an upstream in place of a model. */
export async function startHyperspace(options: NodeTargetOptions): Promise<ServerProcess> {
  return await startServer({
    script: fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url)),
    args: port => [
      'up',
      '--json',
      '--no-discover',
      ...['--port', String(port)],
      ...['--data', join(options.folder, 'data')],
      ...['--upstream', options.upstream],
      ...(options.flags ?? []),
    ],
    core: options.core,
  })
}

export async function startUpstream(options: {
  readonly tokens: number
  readonly core: number
  /** How long it thinks. @default 0 */
  readonly delayMs?: number
}): Promise<ServerProcess> {
  return await startServer({
    script: fileURLToPath(new URL('../targets/upstream.ts', import.meta.url)),
    args: port => [
      ...['--port', String(port)],
      ...['--tokens', String(options.tokens)],
      ...['--delay', String(options.delayMs ?? 0)],
    ],
    core: options.core,
  })
}
