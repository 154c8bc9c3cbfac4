import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import {
  envNameOf,
  flagOf,
  isSettingName,
  type Setting,
  type SettingName,
  settings,
} from './config-table.ts'
import { OperationError } from './errors.ts'
import { GiB, KiB, MiB } from './limits.ts'
import { isJsonObject } from './std/json.ts'

/** The validated settings of one node. Frozen. Durations in ms, sizes in bytes. */
export interface Config {
  /** The data folder, absolute. */
  readonly data: string
  readonly host: string
  readonly port: number
  readonly model: readonly string[]
  readonly upstream: readonly string[]
  readonly upstreamKey: readonly string[]
  readonly upstreamSlots: readonly string[]
  readonly discover: boolean
  readonly apiKey: readonly string[]
  readonly allowOrigin: readonly string[]
  readonly threads: number
  readonly context: number
  readonly parallel: number
  readonly queue: number
  readonly upstreamTimeout: number
  readonly sampled: 'cache' | 'skip'
  readonly ttl: number
  readonly maxDisk: number
  readonly maxMemory: number
  readonly kv: boolean
  readonly kvDisk: number
  readonly kvMemory: number
  readonly kvShared: number
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug'
  readonly p2pHost: string
  readonly p2pPort: number
  readonly directPort: number
  readonly peers: readonly string[]
  readonly announce: readonly string[]
  readonly mdns: boolean
  readonly relay: 'off' | 'client' | 'server'
  readonly network: 'loopback' | 'lan' | 'wan'
  readonly offline: boolean
  readonly trustUpstreams: boolean
}

export type SettingSource = 'flag' | 'env' | 'file' | 'default'

export interface ConfigSources {
  readonly data: string
  /** As the command line gave them: texts, or lists of texts. */
  readonly flags: { readonly [name: string]: unknown }
  readonly env: { readonly [name: string]: string | undefined }
}

/** A configuration and where each setting came from. */
export interface ResolvedConfig {
  readonly config: Config
  readonly sources: { readonly [name in SettingName]: SettingSource }
}

export function configPath(data: string): string {
  return join(data, 'config.json')
}

/**
 * flags > environment > file > defaults.
 * @throws config_invalid with all mistakes at once, one per line, each with the name the person
 * used
 */
export function resolveConfig(given: ConfigSources): ResolvedConfig {
  const mistakes: string[] = []
  const file = readConfigFile(configPath(given.data), mistakes)
  const values: { [name: string]: unknown } = { data: given.data }
  const sources: { [name: string]: SettingSource } = {}
  for (const name of Object.keys(settings)) {
    if (!isSettingName(name)) continue
    const found = pick(name, given, file)
    sources[name] = found.source
    const parsed = parseSetting(settings[name], found.value)
    if ('mistake' in parsed) mistakes.push(`${found.label}: ${parsed.mistake}`)
    else values[name] = parsed.value
  }
  mistakes.push(...crossFieldMistakes(values))
  if (mistakes.length > 0) throw configInvalid(mistakes)
  return Object.freeze({
    config: Object.freeze(values) as unknown as Config,
    sources: sources as ResolvedConfig['sources'],
  })
}

/** What a text or JSON value means for a setting, or what is wrong with it. */
export function parseSetting(
  setting: Setting,
  value: unknown,
): { readonly value: unknown } | { readonly mistake: string } {
  switch (setting.kind) {
    case 'text':
      return typeof value === 'string' && value !== '' ? { value } : { mistake: 'must be a text' }
    case 'port': {
      const port = wholeNumber(value)
      if (port !== undefined && port <= 65_535) return { value: port }
      return { mistake: `must be a port from 0 to 65535, not ${show(value)}` }
    }
    case 'count': {
      const count = wholeNumber(value)
      const { min = 0, max } = setting
      if (count !== undefined && count >= min && count <= max) return { value: count }
      return { mistake: `must be a whole number from ${min} to ${max}, not ${show(value)}` }
    }
    case 'bytes':
      return parseBytes(value, setting.min ?? 0)
    case 'duration':
      return parseDuration(value, setting.max)
    case 'switch':
      return parseSwitch(value)
    case 'choice':
      if (typeof value === 'string' && setting.choices.includes(value)) return { value }
      return { mistake: `must be one of ${setting.choices.join(', ')}, not ${show(value)}` }
    case 'list':
      return parseList(value)
  }
}

function pick(
  name: SettingName,
  given: ConfigSources,
  file: { readonly [name: string]: unknown },
): { readonly value: unknown; readonly source: SettingSource; readonly label: string } {
  const flag = given.flags[name]
  if (flag !== undefined) return { value: flag, source: 'flag', label: flagOf(name) }
  const env = given.env[envNameOf(name)]
  if (env !== undefined && env !== '') return { value: env, source: 'env', label: envNameOf(name) }
  if (file[name] !== undefined) {
    return { value: file[name], source: 'file', label: `"${name}" in ${configPath(given.data)}` }
  }
  return { value: settings[name].default, source: 'default', label: name }
}

/** The config file as it stands: an empty object when there is none. Unknown keys are mistakes. */
export function readConfigFile(
  path: string,
  mistakes: string[],
): { readonly [name: string]: unknown } {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    // A file where the folder should be: whoever opens the folder says so.
    const absent = error instanceof Error && 'code' in error ? error.code : undefined
    if (absent === 'ENOENT' || absent === 'ENOTDIR') return {}
    mistakes.push(`${path}: cannot be read (${error instanceof Error ? error.message : 'unknown'})`)
    return {}
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    mistakes.push(`${path}: is not valid JSON`)
    return {}
  }
  if (!isJsonObject(parsed)) {
    mistakes.push(`${path}: must hold one JSON object`)
    return {}
  }
  for (const name of Object.keys(parsed)) {
    if (!isSettingName(name)) mistakes.push(`"${name}" in ${path}: is not a setting`)
  }
  return parsed
}

/** Whether only programs of this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * Rules about several settings. Those that have a mistake of their own are absent and make none
 * here.
 */
function crossFieldMistakes(config: Partial<Config>): string[] {
  const { host, apiKey, upstream, upstreamKey, upstreamSlots } = config
  const mistakes: string[] = []
  if (host !== undefined && !isLoopback(host) && apiKey?.length === 0) {
    mistakes.push(
      `--host ${host}: others could reach this node, so it needs --api-key KEY ` +
        '(or listen on 127.0.0.1)',
    )
  }
  if (upstream === undefined) return mistakes
  if ((upstreamKey?.length ?? 0) > upstream.length) {
    mistakes.push('--upstream-key: more keys than --upstream URLs')
  }
  if ((upstreamSlots?.length ?? 0) > upstream.length) {
    mistakes.push('--upstream-slots: more folders than --upstream URLs')
  }
  for (const url of upstream) {
    if (!URL.canParse(url) || !/^https?:/.test(url)) {
      mistakes.push(`--upstream: '${url}' is not an http(s) URL`)
    }
  }
  return mistakes
}

function configInvalid(mistakes: readonly string[]): OperationError {
  const head =
    mistakes.length === 1 ? 'One setting is wrong' : `${mistakes.length} settings are wrong`
  return new OperationError('config_invalid', [head, ...mistakes].join('\n  '), {
    origin: 'client',
  })
}

function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0
    ? number
    : undefined
}

const byteUnits: { readonly [unit: string]: number } = {
  '': 1,
  b: 1,
  k: KiB,
  kb: KiB,
  kib: KiB,
  m: MiB,
  mb: MiB,
  mib: MiB,
  g: GiB,
  gb: GiB,
  gib: GiB,
  t: 1024 * GiB,
  tb: 1024 * GiB,
  tib: 1024 * GiB,
}

function parseBytes(value: unknown, min: number): ReturnType<typeof parseSetting> {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(textOf(value))
  const unit = byteUnits[(match?.[2] ?? '?').toLowerCase()]
  const bytes = unit === undefined ? Number.NaN : Math.floor(Number(match?.[1]) * unit)
  if (Number.isSafeInteger(bytes) && bytes >= min) return { value: bytes }
  return {
    mistake: `must be a size such as 500MB or 20GB, at least ${min} bytes, not ${show(value)}`,
  }
}

const durationUnits: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

function parseDuration(value: unknown, max: number): ReturnType<typeof parseSetting> {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(textOf(value))
  const ms =
    typeof value === 'number'
      ? value
      : Math.round(Number(match?.[1]) * (durationUnits[match?.[2] ?? ''] ?? Number.NaN))
  if (Number.isSafeInteger(ms) && ms > 0 && ms <= max) return { value: ms }
  const longest = `${Math.floor(max / 86_400_000)}d`
  return {
    mistake: `must be a duration such as 30s, 12h or 7d, at most ${longest}, not ${show(value)}`,
  }
}

function parseSwitch(value: unknown): ReturnType<typeof parseSetting> {
  if (typeof value === 'boolean') return { value }
  if (value === 'true' || value === '1' || value === 'yes') return { value: true }
  if (value === 'false' || value === '0' || value === 'no') return { value: false }
  return { mistake: `must be true or false, not ${show(value)}` }
}

function parseList(value: unknown): ReturnType<typeof parseSetting> {
  const list = typeof value === 'string' ? value.split(',').map(item => item.trim()) : value
  if (Array.isArray(list) && list.every(item => typeof item === 'string' && item !== '')) {
    return { value: Object.freeze([...list]) }
  }
  return { mistake: 'must be one or more texts' }
}

/** Numbers and texts as text; everything else has no form that a pattern could match. */
function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
}
