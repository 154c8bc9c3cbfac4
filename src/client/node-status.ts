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
  readonly savedTokens: number
  readonly savedSeconds: number
}
