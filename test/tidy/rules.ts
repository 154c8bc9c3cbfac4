/** The shape of the program (DESIGN §2) as data. */

/** A file may import files of its own or a lower level. Longest matching prefix wins. */
export const levels: readonly (readonly [prefix: string, level: number])[] = [
  ['src/std/', 0],
  ['src/errors.ts', 0],
  ['src/limits.ts', 0],
  ['src/key/', 1],
  ['src/wire/', 1],
  ['src/erasure/', 1],
  ['src/route/', 1],
  ['src/interface/', 2],
  ['src/engine/', 3],
  ['src/store/', 3],
  ['src/telemetry/', 3],
  ['src/net/', 3],
  ['src/trust/', 3],
  ['src/cache/', 4],
  ['src/server/', 5],
  ['src/client/', 5],
  ['src/', 6],
  ['src/cli/', 7],
]

/** Adapters of one level that must not know each other. */
export const adapters: readonly string[] = [
  'src/engine/llama/',
  'src/engine/upstream/',
  'src/engine/fake/',
  'src/engine/models/',
  'src/net/',
  'src/store/',
  'src/telemetry/',
]

/** Folders that see interfaces only: not even lower adapters. */
export const interfacesOnly: readonly string[] = ['src/cache/', 'src/trust/']

/** Where a package may be imported; `@scope/*` stands for all of a scope. */
export const packages: { readonly [name: string]: readonly string[] } = {
  '@clack/prompts': ['src/cli/'],
  '@huggingface/jinja': ['src/engine/llama/'],
  '@libp2p/*': ['src/net/libp2p/'],
  '@multiformats/*': ['src/net/libp2p/'],
  canonicalize: ['src/key/'],
  cborg: ['src/wire/'],
  commander: ['src/cli/'],
  'env-paths': ['src/cli/'],
  'eventsource-parser': ['src/engine/upstream/', 'src/cli/'],
  libp2p: ['src/net/libp2p/'],
  lmdb: ['src/store/'],
  multiformats: ['src/net/libp2p/'],
  'node-llama-cpp': ['src/engine/llama/'],
  picocolors: ['src/cli/'],
  pino: ['src/telemetry/'],
  'prom-client': ['src/telemetry/'],
  undici: ['src/engine/upstream/', 'src/engine/models/'],
  zod: ['src/server/', 'src/engine/'],
}

/** What may be used inside its wrapper only: otherwise the simulator lies. */
export const wrapped: readonly {
  readonly pattern: RegExp
  readonly allowed: readonly string[]
  readonly instead: string
}[] = [
  {
    pattern: /\b(?:Date\.now|performance\.now|setTimeout|setInterval)\(|\bnew Date\(\)/,
    allowed: ['src/std/clock.ts'],
    instead: 'take a Clock (std/clock.ts)',
  },
  {
    pattern: /\b(?:Math\.random|randomBytes|randomUUID|randomInt)\(/,
    allowed: ['src/std/random.ts'],
    instead: 'take a Random (std/random.ts)',
  },
  {
    pattern: /\bprocess\.env\b/,
    allowed: ['src/cli/'],
    instead: 'pass the environment to resolveConfig (config.ts)',
  },
  {
    pattern: /\bconsole\.|\bprocess\.(?:exit\(|stdout)/,
    allowed: ['src/cli/'],
    instead: 'log through Log, or print in cli/terminal.ts',
  },
  {
    pattern: /\bAbortSignal\.any\(/,
    allowed: [],
    instead: 'use linkSignal (std/signal.ts), which lets go',
  },
  { pattern: /\bTO(?:DO)\b|\bFIX(?:ME)\b/, allowed: [], instead: 'do it, or file an issue' },
]

export const maxima = {
  fileLines: 400,
  interfaceLines: 250,
  testLines: 800,
  functionLines: 70,
  parameters: 4,
  nesting: 4,
  imports: 15,
  filesPerFolder: 15,
  columns: 100,
}

/** What is longer than the table allows, and why that reads better. */
export const allowedLonger: { readonly [what: string]: string } = {
  'src/limits.ts has': 'a table of all bounds, read as a table',
  'src/swarm-part.ts imports': 'the composition root of the swarm knows every part of it',
  'src/prefix-part.ts imports': 'the composition root of KV state knows every part of it',
  'src/node.ts imports': 'the composition root knows every part',
  'src/server/endpoints.ts imports': 'the table of endpoints names every API',
}
