import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { isJsonObject, type JsonObject } from '../../src/std/json.ts'

const main = join(import.meta.dirname, '../../src/cli/main.ts')

/** `hyperspace up --json` in a process of its own. */
export class NodeProcess {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #lines: AsyncIterator<string>
  readonly #exit: Promise<readonly unknown[]>
  #errors = ''

  private constructor(child: ChildProcessByStdio<null, Readable, Readable>) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.#exit = once(child, 'close')
    child.stderr.setEncoding('utf8').on('data', text => {
      this.#errors += text
    })
  }

  /** Starts it on a free port; it is killed when the test ends. */
  static start(test: TestContext, data: string, flags: readonly string[]): NodeProcess {
    const args = [main, 'up', '--json', '--data', data, '--port', '0', '--no-discover', ...flags]
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: data },
    })
    const node = new NodeProcess(child)
    test.after(async () => {
      child.kill('SIGKILL')
      await node.#exit
    })
    return node
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The next line of its output, which must be of this event. */
  async event(name: string): Promise<JsonObject> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`It ended before '${name}': ${this.#errors}`)
    const event: unknown = JSON.parse(value)
    if (isJsonObject(event) && event['event'] === name) return event
    throw new Error(`'${name}' was expected, not ${value}`)
  }

  /** Its URL, once it listens. */
  async url(): Promise<string> {
    const { status } = await this.event('started')
    const urls = isJsonObject(status) ? status['urls'] : undefined
    return isJsonObject(urls) ? String(urls['anthropic']) : ''
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** How it ended, and what it said on stderr. */
  async ended(): Promise<{ code: unknown; signal: unknown; errors: string }> {
    const [code, signal] = await this.#exit
    return { code, signal, errors: this.#errors }
  }
}
