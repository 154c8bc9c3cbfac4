import { OperationError, requestInvalid } from './errors.ts'
import type { PeerId } from './interface/network.ts'
import { parsePeerId } from './key/peer-id.ts'
import { lookupKey, parseLookupKey, parseResponseKey } from './key/response-key.ts'
import type { PlainCall, PlainEndpoint } from './server/endpoint.ts'
import { encodeError } from './server/openai/errors.ts'
import type { Router } from './server/router.ts'
import type { Clock } from './std/clock.ts'
import type { JoinedSwarm, SwarmPart } from './swarm-part.ts'
import { describeSwarm } from './swarm-report.ts'

export interface SwarmEndpointComponents {
  readonly swarm: SwarmPart
  readonly clock: Clock
}

/** Longest wait of a command for a peer. */
const commandTimeoutMs = 10_000

/**
 * What the CLI asks of a running node about its swarm. Needs the admin token of the data folder.
 */
export function addSwarmEndpoints(router: Router, { swarm, clock }: SwarmEndpointComponents): void {
  router.add(
    'GET',
    '/admin/swarm',
    admin(() => {
      const { joined } = swarm
      return { body: { self: swarm.identity().peerId, swarm: joined && describeSwarm(joined) } }
    }),
  )
  // After `swarm.json` was changed: joined, left or another swarm.
  router.add(
    'POST',
    '/admin/swarm/reload',
    admin(async ({ signal }) => {
      await swarm.reload({ signal })
      const { joined } = swarm
      return { body: { swarm: joined === undefined ? null : describeSwarm(joined) } }
    }),
  )
  router.add(
    'POST',
    '/admin/peers/connect',
    admin(async call => {
      const { address } = await call.json()
      if (typeof address !== 'string')
        throw requestInvalid('address', "'address' must be a multiaddr")
      return { body: { peer: await joinedOf(swarm).network.connect(address, call) } }
    }),
  )
  router.add(
    'POST',
    '/admin/peers/ban',
    admin(call => setBanned(swarm, call, true)),
  )
  router.add(
    'POST',
    '/admin/peers/unban',
    admin(call => setBanned(swarm, call, false)),
  )
  router.add(
    'POST',
    '/admin/peers/ping',
    admin(async call => {
      const peer = await peerOf(call)
      const startMs = clock.monotonicMs()
      const options = { signal: call.signal, timeoutMs: commandTimeoutMs }
      await joinedOf(swarm).network.request(peer, '/hyperspace/ping/1', new Uint8Array(8), options)
      return { body: { peer, roundTripMs: clock.monotonicMs() - startMs } }
    }),
  )
  router.add(
    'GET',
    '/admin/find/*',
    admin(call => find(swarm, call)),
  )
}

async function setBanned(
  swarm: SwarmPart,
  call: PlainCall,
  isBanned: boolean,
): Promise<{ readonly body: unknown }> {
  const peer = await peerOf(call)
  await swarm.setBanned(peer, isBanned)
  return { body: { peer, isBanned } }
}

/** Which peers say that they hold a key (a response key or a look-up key). */
async function find(
  swarm: SwarmPart,
  { rest, signal }: PlainCall,
): Promise<{ readonly body: unknown }> {
  const response = parseResponseKey(rest)
  const wanted = parseLookupKey(rest)
  if (response === undefined || wanted === undefined) {
    throw requestInvalid('key', 'A key is 64 hex digits')
  }
  const { directory } = joinedOf(swarm)
  const holders = new Set<PeerId>()
  for (const key of [lookupKey(response), wanted]) {
    for await (const peer of directory.find(key, { signal, deadlineMs: commandTimeoutMs })) {
      holders.add(peer)
    }
  }
  return { body: { key: rest, holders: [...holders] } }
}

function joinedOf(swarm: SwarmPart): JoinedSwarm {
  if (swarm.joined !== undefined) return swarm.joined
  const remedy = 'join one with `hyperspace swarm join INVITE`, or make one with `swarm create`'
  throw new OperationError('not_found', `This node is in no swarm: ${remedy}`, { origin: 'client' })
}

async function peerOf(call: PlainCall): Promise<PeerId> {
  const { peer } = await call.json()
  const id = typeof peer === 'string' ? parsePeerId(peer) : undefined
  if (id !== undefined) return id
  throw requestInvalid('peer', "'peer' must be a peer id (12D3Koo…)")
}

function admin(handle: PlainEndpoint['handle']): PlainEndpoint {
  return { kind: 'plain', api: 'other', access: 'admin', encodeError, handle }
}
