import { connect } from 'node:net'
import { systemClock } from '../../std/clock.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'

/** For a node on this machine to say its first word. */
const probeTimeoutMs = 1_500
/** What a node sends to whoever connects (spec/wire.md §2). */
const magic = 'hsp1'

/** Those of a node's own addresses at which it answers when this machine dials them. */
export async function answeringAddresses(
  addresses: readonly string[],
  options: AbortOptions,
): Promise<readonly string[]> {
  const answers = await Promise.all(addresses.map(address => doesAnswer(address, options)))
  return addresses.filter((_, index) => answers[index])
}

async function doesAnswer(address: string, { signal }: AbortOptions): Promise<boolean> {
  const [, host, port] = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)(?:\/p2p\/[^/]+)?$/.exec(address) ?? []
  if (host === undefined || port === undefined) return false
  const linked = linkSignal(systemClock, [signal], probeTimeoutMs)
  try {
    return (await firstWord(host, Number(port), linked.signal)).startsWith(magic)
  } finally {
    linked[Symbol.dispose]()
  }
}

/** What whoever listens there says first; nothing where nobody does. Never rejects. */
function firstWord(host: string, port: number, signal: AbortSignal): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ host, port, signal })
    const end = (text: string): void => {
      socket.destroy()
      resolve(text)
    }
    socket.once('data', bytes => end(bytes.toString('latin1')))
    // A refusal or the deadline: nobody is there, which is the answer.
    socket.once('error', () => end(''))
    socket.once('close', () => end(''))
  })
}
