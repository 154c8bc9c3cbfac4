import { silentLog } from '../../src/interface/log.ts'
import type { PeerId } from '../../src/interface/network.ts'
import type { ModelId } from '../../src/key/model-id.ts'
import type { LookupKey } from '../../src/key/response-key.ts'
import { RendezvousDirectory } from '../../src/net/directory/rendezvous-directory.ts'
import { Identity } from '../../src/net/identity.ts'
import { Libp2pNetwork } from '../../src/net/libp2p/libp2p-network.ts'
import { systemClock } from '../../src/std/clock.ts'
import { type Startable, startAll, stopAll } from '../../src/std/lifecycle.ts'
import { systemRandom } from '../../src/std/random.ts'
import { type RogueBlock, type RogueStripe, rogueStripe, serveStripes } from './rogue-stripes.ts'

export interface RogueNodeOptions {
  readonly secret: Uint8Array
  /** Multiaddrs of members. */
  readonly peers: readonly string[]
  readonly modelId: ModelId
  readonly numericClass: string
}

/** A member of a real swarm that serves blocks of its own making, and nothing else. */
export class RogueNode {
  readonly #identity = Identity.fromSeed(systemRandom.bytes(32))
  readonly #stripes = new Map<LookupKey, RogueStripe>()
  readonly #options: RogueNodeOptions
  readonly #parts: readonly Startable[]

  constructor(options: RogueNodeOptions) {
    this.#options = options
    const parts = { clock: systemClock, log: silentLog, random: systemRandom }
    const network = new Libp2pNetwork(parts, {
      identity: this.#identity,
      swarmSecret: options.secret,
      listen: { host: '127.0.0.1', port: 0 },
      preset: 'loopback',
      peers: options.peers,
      mdns: false,
      relay: 'off',
      announce: [],
    })
    serveStripes(network, this.#stripes)
    this.#parts = [network, new RendezvousDirectory({ ...parts, network })]
  }

  get peerId(): PeerId {
    return this.#identity.peerId
  }

  add(block: RogueBlock): void {
    const issuer = { identity: this.#identity, clock: systemClock, ...this.#options }
    const stripe = rogueStripe(block, issuer)
    this.#stripes.set(stripe.manifest.lookupKey, stripe)
  }

  async start(): Promise<void> {
    await startAll(this.#parts, { signal: new AbortController().signal })
  }

  async stop(): Promise<void> {
    await stopAll(this.#parts)
  }
}
