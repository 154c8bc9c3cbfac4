import { engineQueueMax, GiB, KiB, MiB, upstreamIdleTimeoutMs } from './limits.ts'

export type SettingName =
  | 'host'
  | 'port'
  | 'model'
  | 'upstream'
  | 'upstreamKey'
  | 'upstreamSlots'
  | 'discover'
  | 'apiKey'
  | 'allowOrigin'
  | 'threads'
  | 'context'
  | 'parallel'
  | 'queue'
  | 'upstreamTimeout'
  | 'sampled'
  | 'ttl'
  | 'maxDisk'
  | 'maxMemory'
  | 'kv'
  | 'kvDisk'
  | 'kvMemory'
  | 'kvShared'
  | 'logLevel'
  | 'p2pHost'
  | 'p2pPort'
  | 'directPort'
  | 'peers'
  | 'announce'
  | 'mdns'
  | 'relay'
  | 'network'
  | 'offline'
  | 'trustUpstreams'

/** Timers of Node overflow past 2^31 ms and then fire at once. */
const timerMsMax = 24 * 24 * 3_600_000

/**
 * Every setting, once: its flag, environment name, file key, form, default and help are derived
 * from this table, so that they cannot disagree. `--max-disk` is `HYPERSPACE_MAX_DISK` and
 * `"maxDisk"` in the file. In the environment a list is separated by commas.
 */
export const settings: { readonly [name in SettingName]: Setting } = {
  host: {
    kind: 'text',
    default: '127.0.0.1',
    help: 'address to listen on; other than loopback needs --api-key',
  },
  port: { kind: 'port', default: 11_500, help: 'port to listen on (0: any free one)' },
  model: { kind: 'list', default: [], help: 'GGUF file or pulled model to serve; may be repeated' },
  upstream: {
    kind: 'list',
    default: [],
    help: 'URL of an OpenAI-compatible server; may be repeated',
  },
  upstreamKey: {
    kind: 'list',
    default: [],
    secret: true,
    help: 'API key for the upstream, in the order of --upstream',
  },
  upstreamSlots: {
    kind: 'list',
    default: [],
    help:
      'folder that a llama-server on this machine was given as --slot-save-path, ' +
      'in the order of --upstream: its KV state is then cached too',
  },
  discover: {
    kind: 'switch',
    default: true,
    help:
      'look for Ollama, llama-server, vLLM and LM Studio on this machine ' +
      'when no model or upstream is given',
  },
  apiKey: {
    kind: 'list',
    default: [],
    secret: true,
    help: 'key that clients must send; may be repeated',
  },
  allowOrigin: {
    kind: 'list',
    default: [],
    help: 'web origin that may call this node; loopback ones always may',
  },
  threads: {
    kind: 'count',
    default: 0,
    max: 1_024,
    help: 'threads of the embedded engine (0: fitted to the model and machine)',
  },
  context: {
    kind: 'count',
    default: 0,
    max: 16_777_216,
    help: 'tokens of context per request (0: the model’s own, at most 8192)',
  },
  parallel: {
    kind: 'count',
    default: 4,
    min: 1,
    max: 256,
    help: 'requests the embedded engine runs at once',
  },
  queue: {
    kind: 'count',
    default: engineQueueMax,
    max: 65_536,
    help: 'requests that may wait for the embedded engine',
  },
  upstreamTimeout: {
    kind: 'duration',
    default: upstreamIdleTimeoutMs,
    max: timerMsMax,
    help: 'longest silence of an upstream before its request fails',
  },
  sampled: {
    kind: 'choice',
    choices: ['cache', 'skip'],
    default: 'cache',
    help: 'what to do with answers drawn at random',
  },
  ttl: {
    kind: 'duration',
    default: 30 * 24 * 3_600_000,
    max: 3_650 * 24 * 3_600_000,
    help: 'how long an answer is served',
  },
  maxDisk: {
    kind: 'bytes',
    default: 4 * GiB,
    min: 4 * MiB,
    help: 'most disk space for stored answers',
  },
  maxMemory: {
    kind: 'bytes',
    default: 128 * MiB,
    min: 64 * KiB,
    help: 'most memory for stored answers',
  },
  kv: {
    kind: 'switch',
    default: true,
    help: 'keep the KV state of prompts, so that only what is new in the next one is computed',
  },
  kvDisk: {
    kind: 'bytes',
    default: 8 * GiB,
    min: 16 * MiB,
    help: 'most disk space for KV state',
  },
  kvMemory: {
    kind: 'bytes',
    default: 256 * MiB,
    help: 'most memory for open KV state outside the engine (0: none is kept, or made ready)',
  },
  kvShared: {
    kind: 'bytes',
    default: 4 * GiB,
    min: 16 * MiB,
    help: 'most disk space for sealed KV state that the node holds for members of its swarm',
  },
  logLevel: {
    kind: 'choice',
    choices: ['error', 'warn', 'info', 'debug'],
    default: 'info',
    help: 'what goes to the log file',
  },
  p2pHost: {
    kind: 'text',
    default: '0.0.0.0',
    help: 'address on which peers of the swarm reach this node',
  },
  p2pPort: { kind: 'port', default: 11_501, help: 'port for peers of the swarm (0: any free one)' },
  directPort: {
    kind: 'port',
    default: 0,
    help: 'port for the fast path of KV state between members (0: any free one)',
  },
  peers: {
    kind: 'list',
    default: [],
    help: 'multiaddr of a member to stay connected with; may be repeated',
  },
  announce: {
    kind: 'list',
    default: [],
    help: 'multiaddr at which others reach this node (port forwarding)',
  },
  mdns: { kind: 'switch', default: true, help: 'find members of the swarm on the local network' },
  relay: {
    kind: 'choice',
    choices: ['off', 'client', 'server'],
    default: 'off',
    help: 'client: be reached through relays of the swarm; server: be one',
  },
  network: {
    kind: 'choice',
    choices: ['loopback', 'lan', 'wan'],
    default: 'lan',
    help: 'where the members are: this machine, a private network, the Internet',
  },
  offline: { kind: 'switch', default: false, help: 'stay out of the swarm this time' },
  trustUpstreams: {
    kind: 'switch',
    default: true,
    help: 'take members’ answers from upstreams, which nobody can recompute, on their word',
  },
}

export type Setting = (
  | { readonly kind: 'text'; readonly default: string }
  | { readonly kind: 'port'; readonly default: number }
  | {
      readonly kind: 'count'
      readonly default: number
      readonly min?: number
      readonly max: number
    }
  | { readonly kind: 'bytes'; readonly default: number; readonly min?: number }
  | { readonly kind: 'duration'; readonly default: number; readonly max: number }
  | { readonly kind: 'switch'; readonly default: boolean }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly default: string }
  | { readonly kind: 'list'; readonly default: readonly string[] }
) & { readonly help: string; readonly secret?: boolean }

/** `maxDisk` → `--max-disk`. */
export function flagOf(name: SettingName): string {
  return `--${kebab(name)}`
}

/** `maxDisk` → `HYPERSPACE_MAX_DISK`. */
export function envNameOf(name: SettingName): string {
  return `HYPERSPACE_${kebab(name).replaceAll('-', '_').toUpperCase()}`
}

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name)
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}
