import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { Libp2pNetwork } from '../src/net/libp2p/libp2p-network.ts'
import type { BenchResult, BenchRow } from './bench-result.ts'
import { addressOf, benchNetwork } from './support/bench-network.ts'
import {
  bulkBytes,
  bulkProtocol,
  bulkStreamProtocol,
  senderName,
  tlsPortProtocol,
} from './support/bulk.ts'
import { type ServerProcess, startServer } from './support/server-process.ts'
import { median } from './support/statistics.ts'

const rounds = 11
const warmUps = 2
const none = new Uint8Array(0)
const signal = new AbortController().signal

/** What one transfer took. */
interface Transfer {
  readonly megabytesPerSecond: number
  /** CPU milliseconds per gigabyte at each end. */
  readonly senderMs: number
  readonly receiverMs: number
}

interface Subject {
  readonly name: string
  /** Receives everything; how many bytes that were. */
  readonly receive: () => Promise<number>
  readonly transfers: Transfer[]
}

/**
 * 64 MiB from another process, in messages of 256 KiB, straight and as a stream of the session's
 * connection, beside plain node:tls, in turns.
 */
export async function run(): Promise<BenchResult> {
  const port = { used: '' }
  const sender = await startServer({
    script: fileURLToPath(new URL('./targets/bulk-sender.ts', import.meta.url)),
    args: free => {
      port.used = String(free)
      return ['--port', port.used]
    },
    core: 0,
  })
  const network = benchNetwork({ name: 'bulk-receiver' })
  try {
    await network.start({ signal })
    const peer = await network.connect(addressOf(senderName, port.used), { signal })
    const socket = await connectTls(network, peer)
    const bytes = (): AsyncIterable<Uint8Array> =>
      network.openBytes(peer, bulkProtocol, none, { signal })
    const stream = (): AsyncIterable<Uint8Array> =>
      network.openStream(peer, bulkStreamProtocol, none, { signal })
    const subjects: readonly Subject[] = [
      { name: 'openBytes', receive: () => receiveAll(bytes()), transfers: [] },
      { name: 'openStream', receive: () => receiveAll(stream()), transfers: [] },
      { name: 'node:tls', receive: () => receiveTls(socket), transfers: [] },
    ]
    await takeTurns(subjects, sender)
    socket.destroy()
    if (network.byteCallCounts.streamed > 0) throw new Error('The direct path was not taken')
    return { name: 'bulk', rows: rowsOf(subjects) }
  } finally {
    await network.stop()
    await sender.stop()
  }
}

async function takeTurns(subjects: readonly Subject[], sender: ServerProcess): Promise<void> {
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const { name, receive, transfers } of subjects) {
      const before = await sender.usage()
      const own = process.cpuUsage()
      const startMs = performance.now()
      const bytes = await receive()
      const tookMs = performance.now() - startMs
      const { user, system } = process.cpuUsage(own)
      const after = await sender.usage()
      if (bytes !== bulkBytes) throw new Error(`${name} brought ${bytes} bytes`)
      if (round < warmUps) continue
      const gigabytes = bytes / 1e9
      transfers.push({
        megabytesPerSecond: bytes / 1e3 / tookMs,
        senderMs: (after.cpuMicros - before.cpuMicros) / 1e3 / gigabytes,
        receiverMs: (user + system) / 1e3 / gigabytes,
      })
    }
  }
}

async function receiveAll(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const piece of pieces) bytes += piece.length
  return bytes
}

async function connectTls(network: Libp2pNetwork, peer: typeof network.self): Promise<TLSSocket> {
  const options = { signal, timeoutMs: 5_000 }
  const reply = await network.request(peer, tlsPortProtocol, none, options)
  const port = Number(Buffer.from(reply).toString())
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  return socket
}

function receiveTls(socket: TLSSocket): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0
    const done = (): void => {
      socket.off('data', onData)
      socket.off('close', onClose)
    }
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes < bulkBytes) return
      done()
      resolve(bytes)
    }
    const onClose = (): void => {
      done()
      reject(new Error('The TLS connection was closed'))
    }
    socket.on('data', onData)
    socket.on('close', onClose)
    socket.write('?')
  })
}

function rowsOf(subjects: readonly Subject[]): readonly BenchRow[] {
  const tls = subjects.at(-1)
  if (tls === undefined) return []
  const figures = [
    ['MB/s', 'megabytesPerSecond'],
    ['CPU of the sender', 'senderMs'],
    ['CPU of the receiver', 'receiverMs'],
  ] as const
  return figures.flatMap(([what, figure]) => {
    const of = ({ transfers }: Subject): readonly number[] => transfers.map(one => one[figure])
    const isSpeed = figure === 'megabytesPerSecond'
    const unit = isSpeed ? 'MB/s' : 'ms/GB'
    const rival = of(tls)
    return subjects.map(subject => {
      const row = { label: `${subject.name}: ${what}`, value: median(of(subject)), unit }
      if (subject === tls) return row
      const ratio = median(of(subject).map((value, round) => value / (rival[round] ?? Number.NaN)))
      const isTarget = isSpeed && subject === subjects[0]
      return { ...row, ratio, of: tls.name, ...(isTarget ? { target: `≥ 0.5 × ${tls.name}` } : {}) }
    })
  })
}
