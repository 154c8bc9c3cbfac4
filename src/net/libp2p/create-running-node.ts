import type { Libp2p } from '@libp2p/interface'
import { createLibp2p } from 'libp2p'
import { inboundPendingMax, inboundPendingPerAddressMax, streamedPieceBytes } from '../../limits.ts'
import { TaskScope } from '../../std/task-scope.ts'
import { inPieces } from '../cut-pieces.ts'
import { errorLabel } from '../session/error-label.ts'
import { PeerLinks } from '../session/peer-links.ts'
import { swarmKeys } from '../swarm-keys.ts'
import { SwarmProtector } from './node/connection-protector.ts'
import type { Gatekeeper } from './node/gatekeeper.ts'
import { nodeOptions } from './node/node-options.ts'
import type { InnerParts, NodeServices } from './node/node-services.ts'
import { RunningNode, type RunningNodeComponents } from './running-node.ts'

/** What outlives a stop; the rest is made anew by each start. */
type Lasting = Omit<RunningNodeComponents, 'node' | 'inner' | 'scope' | 'links' | 'key' | 'self'>

export interface RunningNodeOptions extends Lasting {
  readonly gatekeeper: Gatekeeper
}

export interface CreatedNode {
  readonly running: RunningNode
  readonly node: Libp2p<NodeServices>
  readonly links: PeerLinks
}

/** Builds the library's node and ours around it; nothing listens or dials yet. */
export async function createRunningNode(lasting: RunningNodeOptions): Promise<CreatedNode> {
  const { options, clock, random, log, gatekeeper } = lasting
  const keys = swarmKeys(options.swarmSecret)
  const protector = new SwarmProtector(
    { clock, random },
    {
      key: keys.connection,
      pendingPerAddressMax:
        options.preset === 'loopback' ? inboundPendingMax : inboundPendingPerAddressMax,
    },
  )
  const { gater } = gatekeeper
  const { serviceTag } = keys
  const inner: InnerParts = { timers: [], listen: async () => undefined }
  const parts = { options, serviceTag, gater, protector, inner }
  const node = await createLibp2p(await nodeOptions(parts))
  const scope = new TaskScope((task, error) =>
    log.debug('network task failed', { task, error: errorLabel(error) }),
  )
  const links = new PeerLinks(clock, scope)
  const self = options.identity.peerId
  const key = keys.session
  // For those whom the direct path does not reach.
  const streamHandlers = new Map(lasting.streamHandlers)
  for (const [protocol, handler] of lasting.byteHandlers) {
    streamHandlers.set(protocol, inPieces(handler, streamedPieceBytes))
  }
  const made = { streamHandlers, node, inner, scope, links, key, self }
  const running = new RunningNode({ ...lasting, ...made })
  return { running, node, links }
}
