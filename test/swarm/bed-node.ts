import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeStatus, SwarmStatus } from '../../src/client/node-status.ts'
import { isJsonObject } from '../../src/std/json.ts'
import { decodeReceipt, type Receipt } from '../../src/wire/receipt.ts'
import type { BedProcess, OwnReply } from './bed-process.ts'

/** A reply of a node, with what tests look at. */
export interface BedReply extends OwnReply {
  /** `engine`, `peer`, `memory` … */
  readonly source: string | null
  /** The answer's text, whichever API it came through. */
  readonly text: string
  /** As in the header. */
  readonly receipt: string | null
}

export interface BedNodeParts {
  readonly name: string
  readonly data: string
  readonly process: BedProcess
  readonly status: NodeStatus
  /** Whether it is reached through its process only. */
  readonly isInside: boolean
}

/** Longest wait for any reply: an answer that takes so long counts as a hang. */
const replyTimeoutMs = 60_000

/** One running node of a test bed. */
export class BedNode {
  readonly name: string
  readonly data: string
  readonly process: BedProcess
  /** `http://127.0.0.1:11500` */
  readonly url: string
  readonly peerId: string
  /** Multiaddrs by which peers reach it. */
  readonly addresses: readonly string[]
  readonly #isInside: boolean

  constructor({ name, data, process, status, isInside }: BedNodeParts) {
    this.name = name
    this.data = data
    this.process = process
    this.url = status.urls.anthropic
    this.peerId = status.swarm?.self ?? ''
    this.addresses = status.swarm?.addresses ?? []
    this.#isInside = isInside
  }

  /** The first address: what an invite would hold. */
  get address(): string {
    const [address] = this.addresses
    if (address === undefined) throw new Error(`${this.name} is in no swarm`)
    return address
  }

  /** Posts a request to one of its client APIs. */
  async ask(
    path: string,
    body: unknown,
    headers: { readonly [name: string]: string } = {},
  ): Promise<BedReply> {
    const reply = await this.#request('POST', path, { headers, body })
    const { status } = reply
    const text = status === 200 ? textOf(reply.body) : ''
    const { headers: head } = reply
    const source = head.get('x-hyperspace-source')
    return { ...reply, text, source, receipt: head.get('x-hyperspace-receipt') }
  }

  async status(): Promise<NodeStatus> {
    const { body } = await this.admin('GET', '/admin/status')
    return body as NodeStatus
  }

  /** Its place in its swarm. */
  async swarm(): Promise<SwarmStatus> {
    const { swarm } = await this.status()
    if (swarm === null) throw new Error(`${this.name} is in no swarm`)
    return swarm
  }

  /** @throws unless it succeeds */
  async admin(method: 'GET' | 'POST', path: string, body?: unknown): Promise<{ body: unknown }> {
    const { adminToken } = JSON.parse(readFileSync(join(this.data, 'node.json'), 'utf8'))
    const headers = { authorization: `Bearer ${adminToken}` }
    const reply = await this.#request(method, path, { headers, body })
    if (reply.status !== 200) throw new Error(`${this.name}: ${path}: ${reply.body}`)
    return { body: JSON.parse(reply.body) }
  }

  async connect(address: string): Promise<void> {
    await this.admin('POST', '/admin/peers/connect', { address })
  }

  async setBanned(peer: BedNode, isBanned: boolean): Promise<void> {
    const { peerId } = peer
    await this.admin('POST', `/admin/peers/${isBanned ? 'ban' : 'unban'}`, { peer: peerId })
  }

  /** Ends its process at once, with whatever it was doing. */
  async kill(): Promise<void> {
    this.process.signal('SIGKILL')
    await this.process.ended
  }

  /** Ends it as a person does. */
  async stop(): Promise<void> {
    this.process.signal('SIGTERM')
    await this.process.ended
  }

  /** Its connections stay open, but nothing comes out of it. */
  freeze(): void {
    this.process.signal('SIGSTOP')
  }

  thaw(): void {
    this.process.signal('SIGCONT')
  }

  async #request(
    method: string,
    path: string,
    { headers: own, body }: { readonly headers: Record<string, string>; readonly body: unknown },
  ): Promise<OwnReply> {
    const headers = { ...own, 'content-type': 'application/json' }
    const text = body === undefined ? null : JSON.stringify(body)
    const url = this.url + path
    if (this.#isInside) return await this.process.request({ url, method, headers, body: text })
    const startMs = performance.now()
    const signal = AbortSignal.timeout(replyTimeoutMs)
    const reply = await fetch(url, { method, headers, body: text, signal })
    const { status, headers: head } = reply
    const replyBody = await reply.text()
    return { status, headers: head, body: replyBody, ms: performance.now() - startMs }
  }
}

/** What a receipt header says. Its signature is the product's to check, not the test's. */
export function receiptOf({ receipt }: BedReply): Receipt {
  return decodeReceipt(Buffer.from(receipt ?? '', 'base64url')).receipt
}

/** The text of a reply of the chat, completions, messages or responses API. */
function textOf(body: string): string {
  const reply: unknown = JSON.parse(body)
  if (!isJsonObject(reply)) return ''
  const [choice] = listOf(reply['choices'])
  if (isJsonObject(choice?.['message'])) return String(choice['message']['content'])
  if (typeof choice?.['text'] === 'string') return choice['text']
  const items = [...listOf(reply['content']), ...listOf(reply['output'])]
  const parts = items.flatMap(item => [item, ...listOf(item['content'])])
  return parts.map(({ text }) => (typeof text === 'string' ? text : '')).join('')
}

function listOf(value: unknown): readonly { readonly [name: string]: unknown }[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}
