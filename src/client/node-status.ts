import type { SwarmBlockStats } from '../cache/blocks/swarm-blocks.ts'
import type { StoreStats } from '../interface/store.ts'

/** What a running node says of itself: `GET /admin/status`, `hyperspace status --json`. */
export interface NodeStatus {
  readonly name: 'hyperspace'
  readonly version: string
  readonly pid: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly uptimeSeconds: number
  readonly dataFolder: string
  readonly urls: { readonly openai: string; readonly anthropic: string }
  readonly state: 'started' | 'draining'
  readonly models: readonly ModelStatus[]
  readonly upstreams: readonly {
    readonly name: string
    readonly url: string
    readonly models: number
  }[]
  /** Discovered or configured things that could not be used, in words. */
  readonly notices: readonly string[]
  readonly engines: readonly {
    readonly kind: string
    readonly running: number
    readonly waiting: number
  }[]
  readonly requestsRunning: number
  readonly cache: CacheStatus
  /** The cache of KV state; absent where the node has none. */
  readonly prefix?: PrefixStatus
  /** Null while the node is in no swarm. */
  readonly swarm: SwarmStatus | null
  /** What is shared with whom, in words. */
  readonly sharing: string
}

export interface ModelStatus {
  readonly name: string
  readonly aliases: readonly string[]
  readonly id: string
  readonly origin: string
  readonly contextTokens: number | null
  readonly numericClass: string
  readonly bytes: number | null
  readonly quantization: string | null
  readonly prefillTokensPerSecond: number | null
  readonly decodeTokensPerSecond: number | null
  /** Whether it can be talked to, and whether it embeds. */
  readonly chat: boolean
  readonly embeddings: boolean
}

export interface CacheStatus {
  readonly tiers: StoreStats['tiers']
  readonly hits: number
  readonly misses: number
  readonly bypasses: number
  /** Of the misses, those that a peer had an answer for. */
  readonly peerHits: number
  readonly savedTokens: number
  readonly savedSeconds: number
}

/** What the node keeps of prompts that were computed before, in blocks of 128 tokens. */
export interface PrefixStatus {
  /** Per model `on`, or why its state is not kept. */
  readonly models: readonly { readonly name: string; readonly state: string }[]
  readonly memory: BlockTierStatus
  readonly disk: BlockTierStatus
  /** Blocks of this node that peers hold, and shards that it holds for them; null while alone. */
  readonly swarm: SwarmBlockStats | null
}

export interface BlockTierStatus {
  readonly blocks: number
  readonly bytes: number
  readonly bytesMax: number
  /** Why it does not write, when it does not. */
  readonly readOnlyBecause?: string
}

/** The node's place in its swarm. */
export interface SwarmStatus {
  readonly name: string
  readonly self: string
  /** `public`, `relayed`, `private` or `unknown`. */
  readonly reachability: string
  /** Where the members are: `loopback`, `lan` or `wan`. */
  readonly network: string
  /** `server`: it relays for others; `client`: it may be reached through relays; `off`. */
  readonly relay: string
  readonly addresses: readonly string[]
  readonly peers: readonly PeerStatus[]
  /** Answers that this node offers; what it keeps for their audits is not counted. */
  readonly sharedAnswers: number
  readonly directory: {
    readonly members: number
    readonly provided: number
    readonly owned: number
    readonly messagesSent: number
    readonly messagesReceived: number
  }
}

/** What a node says to the commands about its swarm: `GET /admin/swarm`. */
export interface SwarmReport {
  /** Peer id of the node. */
  readonly self: string
  /** Absent while it is in no swarm. */
  readonly swarm?: SwarmStatus
}

export interface PeerStatus {
  readonly id: string
  readonly address: string
  readonly direction: 'inbound' | 'outbound'
  readonly isRelayed: boolean
  /** Whether KV state comes straight from it, past relays and streams; absent until it has. */
  readonly isDirect?: boolean
  readonly roundTripMs: number | null
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly servedAnswers: number
  readonly receivedAnswers: number
  /** 0: nothing known; below: went wrong before. */
  readonly reputation: number
  readonly quarantineSeconds: number
  /** ISO 8601. */
  readonly connectedAt: string
}
