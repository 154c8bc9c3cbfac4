import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { generateCertificate } from '@libp2p/tls/utils'
import { benchNetwork } from '../support/bench-network.ts'
import {
  bulkBytes,
  bulkMessageBytes,
  bulkProtocol,
  bulkStreamProtocol,
  senderName,
  tlsPortProtocol,
} from '../support/bulk.ts'

/** Sends the same bytes both ways of our network and over plain TLS, as often as asked. */
const { values } = parseArgs({ options: { port: { type: 'string' } } })
const message = randomBytes(bulkMessageBytes)
const messageCount = bulkBytes / bulkMessageBytes

const tls = await startTls()
const network = benchNetwork({ name: senderName, port: Number(values.port) })
network.serve(tlsPortProtocol, async () => Buffer.from(String(portOf(tls))))
network.serveBytes(bulkProtocol, sendMessages)
network.serveStream(bulkStreamProtocol, sendMessages)
await network.start({ signal: new AbortController().signal })
process.once('SIGTERM', async () => {
  tls.close()
  await network.stop()
  process.exit()
})

async function* sendMessages(): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < messageCount; index++) yield message
}

/** A key and certificate as a libp2p connection has, and the cipher of our direct path. */
async function startTls(): Promise<Server> {
  const { cert, key } = await generateCertificate(await generateKeyPair('Ed25519'))
  const options = { cert, key, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const
  const server = createServer(options, socket => {
    socket.on('data', () => void sendAll(socket))
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function sendAll(socket: TLSSocket): Promise<void> {
  for (let index = 0; index < messageCount; index++) {
    if (!socket.write(message)) await once(socket, 'drain')
  }
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('No port')
  return address.port
}
