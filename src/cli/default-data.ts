import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import envPaths from 'env-paths'
import { UsageError } from './exit-code.ts'
import type { Terminal } from './terminal.ts'

/**
 * The data folder that a command means: `--data`, else HYPERSPACE_DATA, else the system's usual
 * place.
 */
export function dataFolderOf(flag: unknown, env: Terminal['env']): string {
  const fromEnv = env['HYPERSPACE_DATA']
  if (flag === '') throw new UsageError('--data needs the path of a folder')
  if (typeof flag === 'string') return resolve(expandHome(flag))
  if (fromEnv !== undefined && fromEnv !== '') return resolve(expandHome(fromEnv))
  return envPaths('hyperspace', { suffix: '' }).data
}

/** Shells leave `--data=~/x` and values of env files alone. */
function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}
