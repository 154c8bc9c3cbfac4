import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface ServerOptions {
  readonly script: string
  readonly args: (port: number) => readonly string[]
  /** The CPU core to stay on, where the system can pin. */
  readonly core: number
  readonly cwd?: string
  /** Loaded before the script. */
  readonly preload?: string
}

export interface Usage {
  /** CPU time of all threads since the start. */
  readonly cpuMicros: number
  readonly residentBytes: number
}

/** A server in a process of its own. */
export interface ServerProcess {
  readonly url: string
  usage(): Promise<Usage>
  stop(): Promise<void>
}

const control = fileURLToPath(new URL('../targets/control.ts', import.meta.url))
const startTimeoutMs = 30_000

/** Starts a server on a free port and waits until it listens. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const port = await freePort()
  const preloads = [control, ...(options.preload === undefined ? [] : [options.preload])]
  const node = [
    process.execPath,
    ...preloads.map(file => `--import=${file}`),
    options.script,
    ...options.args(port),
  ]
  const [command = '', ...args] = pinned(options.core, node)
  const child = spawn(command, args, {
    cwd: options.cwd,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await untilListening(child, port)
  return {
    url: `http://127.0.0.1:${port}`,
    usage: () => askUsage(child),
    stop: async () => {
      if (child.exitCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

/** A command line that stays on one core; as it was where the system has no `taskset`. */
export function pinned(core: number, command: readonly string[]): readonly string[] {
  return canPin() ? ['taskset', '-c', String(core), ...command] : command
}

export function canPin(): boolean {
  return spawnSync('taskset', ['-V']).status === 0
}

async function askUsage(child: ChildProcess): Promise<Usage> {
  const answered = once(child, 'message')
  child.send('cpu')
  const [usage]: Usage[] = await answered
  if (usage === undefined) throw new TypeError('The server told no usage')
  return usage
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new TypeError('No port')
  return address.port
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < startTimeoutMs; waitedMs += 50) {
    if (child.exitCode !== null) break
    if (await canConnect(port)) return
    await delay(50)
  }
  child.kill('SIGKILL')
  throw new Error(`${child.spawnargs.join(' ')} did not listen`)
}

function canConnect(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
