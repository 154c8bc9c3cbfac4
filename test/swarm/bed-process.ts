import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { NodeStatus } from '../../src/client/node-status.ts'
import { isJsonObject, type JsonObject } from '../../src/std/json.ts'
import type { OwnRequest } from './node-process.ts'

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** What a process said of a request that it made of its own node. */
export interface OwnReply {
  readonly status: number
  readonly headers: Headers
  readonly body: string
  /** How long it took, seen from there. */
  readonly ms: number
}

export interface BedCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly env: { readonly [name: string]: string | undefined }
  /** How many nodes it will tell of. */
  readonly nodeCount: number
}

/** One process of a test bed, with one or more nodes in it. */
export class BedProcess {
  /** Of its nodes, once they listen. Rejects when it ends before. */
  readonly started: Promise<readonly NodeStatus[]>
  /** How it ended. */
  readonly ended: Promise<{ readonly code: unknown; readonly signal: unknown }>
  readonly #child: Child
  readonly #replies = new Map<number, PromiseWithResolvers<OwnReply>>()
  #requestCount = 0
  #errors = ''

  constructor({ command, args, env, nodeCount }: BedCommand) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env })
    this.#child = child
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-8_192)
    })
    // A process that was killed takes no more requests; whoever asked is told by `ended`.
    child.stdin.on('error', () => undefined)
    this.ended = once(child, 'close').then(([code, signal]) => ({ code, signal }))
    this.started = this.#read(nodeCount)
    // A test may kill it before anybody waits for its start.
    this.started.catch(() => undefined)
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error(`The process did not start: ${this.#errors}`)
    return pid
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** What it said on stderr, the end of it. */
  get errors(): string {
    return this.#errors
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Makes a request from inside the process: for nodes in a network that the test is not in. */
  async request(request: Omit<OwnRequest, 'id'>): Promise<OwnReply> {
    this.#requestCount += 1
    const id = this.#requestCount
    const reply = Promise.withResolvers<OwnReply>()
    this.#replies.set(id, reply)
    this.#child.stdin.write(`${JSON.stringify({ id, ...request })}\n`)
    const gone = this.ended.then((): never => {
      throw new Error(`The process ended before it replied: ${this.#errors}`)
    })
    return await Promise.race([reply.promise, gone])
  }

  async #read(nodeCount: number): Promise<readonly NodeStatus[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly NodeStatus[]>()
    const statuses = new Map<number, NodeStatus>()
    const lines = createInterface({ input: this.#child.stdout })
    lines.on('line', line => {
      const event: unknown = JSON.parse(line)
      if (!isJsonObject(event)) return
      if (event['event'] === 'replied') this.#replied(event)
      if (event['event'] !== 'started') return
      statuses.set(Number(event['index'] ?? 0), event['status'] as unknown as NodeStatus)
      if (statuses.size < nodeCount) return
      resolve([...statuses].sort(([a], [b]) => a - b).map(([, status]) => status))
    })
    this.ended.then(() => reject(new Error(`It ended before it started: ${this.#errors}`)))
    return await promise
  }

  #replied(event: JsonObject): void {
    const id = Number(event['id'])
    const reply = this.#replies.get(id)
    this.#replies.delete(id)
    const parsed = replyOf(event)
    if (parsed === undefined) reply?.reject(new Error(`No reply: ${String(event['failure'])}`))
    else reply?.resolve(parsed)
  }
}

function replyOf({ status, headers, body, ms }: JsonObject): OwnReply | undefined {
  if (!Array.isArray(headers) || typeof body !== 'string') return undefined
  const head = new Headers()
  for (const pair of headers) {
    if (Array.isArray(pair)) head.append(String(pair[0]), String(pair[1]))
  }
  return { status: Number(status), headers: head, body, ms: Number(ms) }
}
