import { execFile } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type ServerProcess, startServer } from './server-process.ts'

/** The peer product: a TypeScript gateway with an in-memory response cache, as we are. */
const peerPackage = '@portkey-ai/gateway'
const peerVersion = '1.15.2'
export const peerName: string = `${peerPackage} ${peerVersion}`

const folder = fileURLToPath(new URL('../../.bench/peer/', import.meta.url))

/** What turns its cache on and sends misses to `upstream`. */
export function peerHeaders(upstream: string): { readonly [name: string]: string } {
  const config = { provider: 'openai', custom_host: `${upstream}/v1`, cache: { mode: 'simple' } }
  return { authorization: 'Bearer none', 'x-portkey-config': JSON.stringify(config) }
}

/** Installs it the first time. The reason, in one line, where that cannot be done. */
export async function startPeer(core: number): Promise<ServerProcess | { readonly why: string }> {
  const script = join(folder, 'node_modules', peerPackage, 'build', 'start-server.js')
  if (!existsSync(script)) {
    mkdirSync(folder, { recursive: true })
    const wanted = `${peerPackage}@${peerVersion}`
    const flags = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
    try {
      await promisify(execFile)('npm', ['install', ...flags, wanted], { timeout: 120_000 })
    } catch {
      return { why: `npm could not install ${wanted}` }
    }
  }
  return await startServer({
    script,
    args: port => ['--headless', `--port=${port}`],
    core,
    cwd: folder,
    preload: fileURLToPath(new URL('../targets/peer-cache.ts', import.meta.url)),
  })
}
