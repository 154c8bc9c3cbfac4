import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import { silentLog } from '../../interface/log.ts'
import type { PeerId, ProtocolName, StreamHandler } from '../../interface/network.ts'
import { type Clock, systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { Identity } from '../identity.ts'
import { directIdentity } from '../libp2p/node/certificate.ts'
import { PeerMeasures } from '../session/measures.ts'
import { type DirectConnection, openDirectConnection } from './direct-connection.ts'
import { KnownCertificate, tlsRules } from './direct-identity.ts'
import type { DirectOffer } from './direct-offer.ts'
import { DirectServer } from './direct-server.ts'

const { signal } = new AbortController()

export function newIdentity(): Identity {
  return Identity.fromSeed(systemRandom.bytes(32))
}

/** A server on loopback, the member that it expects, and whom it has blamed. */
export interface TestServer {
  readonly direct: DirectServer
  readonly server: Identity
  readonly guest: Identity
  /** The guest's. */
  readonly offer: DirectOffer
  readonly blamed: readonly PeerId[]
  readonly measures: PeerMeasures
}

interface TestServerOptions {
  readonly clock?: Clock
  readonly pendingPerAddressMax?: number
}

export async function directServer(
  context: TestContext,
  handlers: { readonly [protocol: ProtocolName]: StreamHandler },
  { clock = systemClock, pendingPerAddressMax = 8 }: TestServerOptions = {},
): Promise<TestServer> {
  const [server, guest] = [newIdentity(), newIdentity()]
  const scope = new TaskScope(() => undefined)
  const blamed: PeerId[] = []
  const measures = new PeerMeasures()
  const byName = new Map<ProtocolName, StreamHandler>()
  for (const name of Object.keys(handlers)) {
    if (isProtocol(name)) byName.set(name, handlers[name] ?? async function* () {})
  }
  const direct = new DirectServer(
    {
      clock,
      log: silentLog,
      random: systemRandom,
      scope,
      identity: directIdentity(server),
      handlers: byName,
      measuresOf: () => measures,
      onMisbehaviour: peer => blamed.push(peer),
    },
    { host: '127.0.0.1', port: 0, pendingPerAddressMax },
  )
  await direct.start()
  context.after(() => Promise.all([direct.stop(), scope.close()]))
  const offer = direct.offerTo(guest.peerId)
  if (offer === undefined) throw new Error('The server listens')
  return { direct, server, guest, offer, blamed, measures }
}

/** The member's connection. */
export async function connected(
  context: TestContext,
  { server, guest, offer }: Pick<TestServer, 'server' | 'guest' | 'offer'>,
  options: { readonly clock?: Clock; readonly measures?: PeerMeasures } = {},
): Promise<DirectConnection> {
  const { clock = systemClock, measures = new PeerMeasures() } = options
  const identity = directIdentity(guest)
  const connection = await openDirectConnection(
    { clock, identity, known: new KnownCertificate(identity), measures },
    { peer: server.peerId, host: '127.0.0.1', offer },
    { signal },
  )
  context.after(() => {
    connection.destroy()
    return connection.closed
  })
  return connection
}

/** Presents a member's certificate, or another one, and then does as the test likes. */
export async function forgedServer(
  context: TestContext,
  identity: Identity,
  onConnection: (socket: TLSSocket) => void,
  { host = '127.0.0.1', port = 0 }: { readonly host?: string; readonly port?: number } = {},
): Promise<number> {
  const certificate = await directIdentity(identity).certificate()
  const sockets = new Set<TLSSocket>()
  const server = createServer({ ...tlsRules, ...certificate, requestCert: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    onConnection(socket)
  })
  server.listen(port, host)
  await once(server, 'listening')
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port')
  return address.port
}

function isProtocol(name: string): name is ProtocolName {
  return name.startsWith('/hyperspace/')
}
