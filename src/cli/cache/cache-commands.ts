import type { Command } from 'commander'
import type { AddCommand } from '../command.ts'

/**
 * `cache …`: what is stored, and why a request has the key it has. With or without a running node.
 */
export function addCacheCommands(program: Command, add: AddCommand): void {
  const cache = program.command('cache').description('the stored answers of the folder')
  add(cache, {
    usage: 'stats',
    summary: 'how many answers, how large, how many were dropped',
    load: async () => (await import('./cache-stats.ts')).cacheStats,
  }).option('--json', 'print JSON')
  add(cache, {
    usage: 'ls',
    summary: 'list stored answers',
    load: async () => (await import('./cache-list.ts')).cacheList,
  })
    .option('-n, --limit <n>', 'how many at most', '100')
    .option('--json', 'print JSON')
  add(cache, {
    usage: 'get <key>',
    summary: 'one stored answer; its text can be read with the response key only',
    load: async () => (await import('./cache-get.ts')).cacheGet,
  }).option('--json', 'print JSON')
  add(cache, {
    usage: 'explain <file>',
    summary: 'the key of a request body (- reads stdin), and the stored requests nearest to it',
    load: async () => (await import('./cache-explain.ts')).cacheExplain,
  })
    .option('--endpoint <path>', 'where the body would be sent (default: /v1/chat/completions)')
    .option('--sample <k>', 'which draw of a sampled answer')
    .option('--scope <scope>', 'local or swarm (default: swarm where the folder is in one)')
    .option('--api-key <key>', 'the API key it would be sent with: each has its own keys')
    .option('--json', 'print JSON')
  add(cache, {
    usage: 'rm <key>',
    summary: 'remove one stored answer',
    load: async () => (await import('./cache-remove.ts')).cacheRemove,
  }).option('--json', 'print JSON')
  add(cache, {
    usage: 'clear',
    summary: 'remove all stored answers and KV state',
    load: async () => (await import('./cache-remove.ts')).cacheClear,
  })
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
  add(cache, {
    usage: 'export [file]',
    summary: 'write all stored answers, sealed, as lines of JSON (without a file: to stdout)',
    load: async () => (await import('./cache-export.ts')).cacheExport,
  }).option('--json', 'print what was written as JSON, on stderr')
  add(cache, {
    usage: 'import <file>',
    summary: 'read them back (- reads stdin), each checked',
    load: async () => (await import('./cache-import.ts')).cacheImport,
  })
    .option('--force', 'even if this folder has another secret and can never find them')
    .option('--json', 'print JSON')
}
