import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startHyperspace, startUpstream } from './hyperspace.ts'
import { peerHeaders, peerName, startPeer } from './peer.ts'
import { type ServerProcess, startServer } from './server-process.ts'

export type Form = 'body' | 'stream'

/** A server that answers the repeated question from what it remembers. */
export interface Rival {
  readonly name: string
  readonly role: 'node' | 'bare' | 'peer'
  readonly server: ServerProcess
  readonly headers: { readonly [name: string]: string }
  /** Where each form is to be had; absent where it cannot be had from memory. */
  readonly paths: { readonly [form in Form]?: string }
}

export interface Rivals {
  readonly list: readonly Rival[]
  /** Why there is no peer product among them. */
  readonly peerMissing: string | undefined
  stop(): Promise<void>
}

const json = { 'content-type': 'application/json' }
const chatPath = '/v1/chat/completions'
/** With the envelope around it this makes an answer of 2 KB. */
const answerTokens = 250

/** Starts them all on one core, and asks each of them twice, so that it remembers. */
export async function startRivals(
  folder: string,
  cores: { readonly servers: number; readonly upstream: number },
): Promise<Rivals> {
  const upstream = await startUpstream({ tokens: answerTokens, core: cores.upstream })
  const running = [upstream]
  const stop = async (): Promise<void> => {
    await Promise.all(running.map(server => server.stop()))
  }
  try {
    const core = cores.servers
    const node = nodeRival(await startHyperspace({ upstream: upstream.url, folder, core }))
    running.push(node.server)
    const bare = await startBare(await replyFiles(node, folder), core)
    running.push(bare.server)
    const peer = await startPeer(core)
    if (!('url' in peer)) return { list: [node, bare], peerMissing: peer.why, stop }
    running.push(peer)
    const rival = peerRival(peer, upstream.url)
    await checkRemembers(rival, 'x-portkey-cache-status', /^HIT$/)
    return { list: [node, bare, rival], peerMissing: undefined, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A question of 2 KB. */
export function questionOf(form: Form): string {
  return JSON.stringify({
    model: 'bench',
    messages: [
      { role: 'system', content: 'You are a helpful assistant. '.repeat(60) },
      { role: 'user', content: 'What is a KV cache, and why would one share it?' },
    ],
    ...(form === 'stream' ? { stream: true } : {}),
  })
}

function nodeRival(server: ServerProcess): Rival {
  const paths = { body: chatPath, stream: chatPath }
  return { name: 'hyperspace', role: 'node', server, headers: json, paths }
}

/** The bare server replies the very bytes that the node does. */
async function startBare(files: { readonly [form in Form]: string }, core: number): Promise<Rival> {
  const server = await startServer({
    script: fileURLToPath(new URL('../targets/bare.ts', import.meta.url)),
    args: port => ['--port', String(port), '--reply', files.body, '--stream', files.stream],
    core,
  })
  const paths = { body: '/reply', stream: '/stream' }
  return { name: 'bare node:http', role: 'bare', server, headers: json, paths }
}

/** Its cache keeps no streams. */
function peerRival(server: ServerProcess, upstream: string): Rival {
  const headers = { ...json, ...peerHeaders(upstream) }
  return { name: peerName, role: 'peer', server, headers, paths: { body: chatPath } }
}

async function replyFiles(
  node: Rival,
  folder: string,
): Promise<{ readonly body: string; readonly stream: string }> {
  const files = { body: join(folder, 'reply'), stream: join(folder, 'stream') }
  const hit = /^memory$/
  writeFileSync(files.body, await checkRemembers(node, 'x-hyperspace-source', hit))
  writeFileSync(files.stream, await checkRemembers(node, 'x-hyperspace-source', hit, 'stream'))
  return files
}

/** Asks twice and returns the second reply. @throws when that did not come from memory */
async function checkRemembers(
  rival: Rival,
  header: string,
  wanted: RegExp,
  form: Form = 'body',
): Promise<string> {
  await (await ask(rival, form)).text()
  const reply = await ask(rival, form)
  const said = reply.headers.get(header) ?? 'nothing'
  if (wanted.test(said)) return await reply.text()
  throw new Error(`${rival.name} should answer from memory, but ${header} says ${said}`)
}

async function ask({ server, headers, paths }: Rival, form: Form): Promise<Response> {
  const url = `${server.url}${paths[form] ?? ''}`
  return await fetch(url, { method: 'POST', headers, body: questionOf(form) })
}
