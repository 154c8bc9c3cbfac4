import type { PeerStatus, SwarmStatus } from './client/node-status.ts'
import type { PeerView } from './interface/network.ts'
import type { JoinedSwarm } from './swarm-part.ts'

/** What a node says of its swarm, to `status` and `peers`. */
export function describeSwarm(swarm: JoinedSwarm): SwarmStatus {
  const { network, directory, sharing, state, config } = swarm
  return {
    name: state.name,
    self: network.self,
    reachability: network.reachability(),
    network: config.network,
    relay: config.relay,
    addresses: network.addresses(),
    peers: network.peers().map(peer => describePeer(swarm, peer)),
    sharedAnswers: sharing.shared.answerCount,
    directory: directory.stats(),
  }
}

function describePeer({ sharing, reputation }: JoinedSwarm, peer: PeerView): PeerStatus {
  const { servedAnswers, receivedAnswers } = sharing.ledger.of(peer.id)
  const { id, address, direction, isRelayed, isDirect, bytesReceived, bytesSent } = peer
  return {
    id,
    address,
    direction,
    isRelayed,
    ...(isDirect === undefined ? {} : { isDirect }),
    roundTripMs: peer.roundTripMs ?? null,
    bytesReceived,
    bytesSent,
    servedAnswers,
    receivedAnswers,
    reputation: Math.round(reputation.scoreOf(id)),
    quarantineSeconds: Math.round(reputation.quarantineMs(id) / 1_000),
    connectedAt: new Date(peer.connectedAt).toISOString(),
  }
}
