import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** Where `npm run llama-server` puts the one it builds. */
export const builtServer: string = join(tmpdir(), 'hyperspace-llama-server/build/bin/llama-server')

/** A real llama-server of this machine. */
export const serverPath: string = process.env['HYPERSPACE_LLAMA_SERVER'] ?? builtServer

export const serverSkip: string | false = isProgram(serverPath)
  ? false
  : 'no llama-server here: `npm run llama-server` builds one in some minutes, ' +
    'or HYPERSPACE_LLAMA_SERVER names one'

export interface RunningServer {
  readonly url: string
  readonly folder: string
  stop(): Promise<void>
}

/** Two slots, each with a memory of its own. */
const twoSlots: readonly string[] = ['--parallel', '2']

/** A server whose slots are saved into a folder of their own. */
export async function startServer(
  model: string,
  slots: readonly string[] = twoSlots,
): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-slots-'))
  const port = await freePort()
  const args = ['-m', model, '--port', String(port), '-c', '4096', '-t', '1', ...slots]
  const server = spawn(serverPath, [...args, '--slot-save-path', folder], { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  const stop = async (): Promise<void> => {
    if (server.exitCode === null && server.signalCode === null) {
      const ended = once(server, 'exit')
      server.kill('SIGKILL')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await healthy(server, url)
  } catch (error) {
    await stop()
    throw error
  }
  return { url, folder, stop }
}

/** A server tells only by answering that it has loaded its model. */
async function healthy(server: ChildProcess, url: string): Promise<void> {
  const deadline = AbortSignal.timeout(60_000)
  while (server.exitCode === null && !deadline.aborted) {
    const reply = await fetch(`${url}/health`).catch(() => undefined)
    if (reply?.ok) return
    await setTimeout(50)
  }
  throw new Error('llama-server did not become healthy')
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  if (typeof address === 'object' && address !== null) return address.port
  throw new Error('A listening socket has an address')
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
