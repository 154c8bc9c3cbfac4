import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

const source = join(import.meta.dirname, '../../../shared/tools/wanemu.c')

/** Why there can be no emulated network here; undefined where there can. */
export function wanHindrance(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux'
  if (process.getuid?.() !== 0) return 'only root may make network namespaces'
  if (!existsSync(source)) return 'there is no ../shared/tools/wanemu.c'
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun'
  for (const command of ['gcc', 'ip', 'nsenter']) {
    if (spawnSync(command, ['--version']).error?.message.includes('ENOENT')) {
      return `${command} is not installed`
    }
  }
  const { status } = spawnSync('unshare', ['--mount', '--net', 'true'])
  return status === 0 ? undefined : 'network namespaces are not allowed'
}

export interface WanOptions {
  readonly nodeCount: number
  /** Decides how the latencies are spread. */
  readonly seed: number
  /** One way, in the middle: each pair has its own, from 0.6 to 1.4 times as much. */
  readonly latencyMs: number
  readonly jitterMs: number
  readonly lossRatio: number
  readonly uplinkMbit: number
}

type Child = ChildProcessByStdio<null, null, Readable>

/**
 * An emulated wide-area network: one namespace per node, joined by wanemu.c. All of it lives in a
 * mount namespace of its own, so that several runs on one machine do not meet.
 */
export class Wan {
  readonly #child: Child
  readonly #ended: Promise<unknown>

  private constructor(child: Child) {
    this.#child = child
    this.#ended = once(child, 'close')
  }

  /** Compiles the emulator into `folder` and starts it. */
  static async start(folder: string, options: WanOptions): Promise<Wan> {
    const program = join(folder, 'wanemu')
    const compiled = spawnSync('gcc', ['-O2', '-o', program, source, '-lm'], { encoding: 'utf8' })
    if (compiled.status !== 0) throw new Error(`gcc: ${compiled.stderr}`)
    const { nodeCount, seed, latencyMs, jitterMs, lossRatio, uplinkMbit } = options
    const names = Array.from({ length: nodeCount }, (_, index) => `wan${index}`).join(' ')
    const regions = 1
    const words = [nodeCount, seed, latencyMs, latencyMs, jitterMs, lossRatio, uplinkMbit, regions]
    const script = `set -e; mount -t tmpfs tmpfs /run
      for name in ${names}; do ip netns add $name; done
      exec '${program}' ${words.join(' ')}`
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', script]
    const wan = new Wan(spawn('unshare', args, { stdio: ['ignore', 'ignore', 'pipe'] }))
    await wan.#ready()
    return wan
  }

  /** What runs a command in a node's namespace. */
  inside(index: number): readonly string[] {
    return ['nsenter', '--mount', `--target=${this.#child.pid}`, 'ip', ...inNamespace(index)]
  }

  /** The IPv4 address of a node. */
  address(index: number): string {
    return `10.77.0.${index + 1}`
  }

  /** Cuts a node off, or joins it again. */
  setLink(index: number, state: 'up' | 'down'): void {
    const [command = '', ...args] = [...this.inside(index), 'ip', 'link', 'set', 'wan', state]
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`ip link: ${stderr}`)
  }

  /** The namespaces go with the last process in them. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async #ready(): Promise<void> {
    let said = ''
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_096)
    })
    while (!said.includes('ready')) {
      await Promise.race([once(this.#child.stderr, 'data'), this.#ended])
      if (this.#child.exitCode !== null) throw new Error(`wanemu ended: ${said}`)
    }
  }
}

function inNamespace(index: number): readonly string[] {
  return ['netns', 'exec', `wan${index}`]
}
