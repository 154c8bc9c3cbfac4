import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getLlama, type Llama, LlamaLogLevel } from 'node-llama-cpp'
import { OperationError } from '../../../errors.ts'
import type { Log } from '../../../interface/log.ts'
import { MiB } from '../../../limits.ts'

/**
 * Opens llama.cpp from the prebuilt packages that are installed: nothing is built, nothing is
 * downloaded.
 * @throws engine_failed, when there is no build for this machine
 */
export async function openRuntime(options: {
  readonly threads: number
  readonly log: Log
}): Promise<Llama> {
  try {
    return await getLlama({
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      gpu: hasGpuBuild() ? 'auto' : false,
      maxThreads: options.threads,
      logLevel: LlamaLogLevel.error,
      logger: (level, message) => {
        if (level === LlamaLogLevel.error || level === LlamaLogLevel.fatal) {
          options.log.warn('llama.cpp complained', { message: message.trim() })
        }
      },
    })
  } catch (error) {
    const machine = `${process.platform}-${process.arch}`
    const message =
      `There is no build of llama.cpp for this machine (${machine}) that runs. Install one with ` +
      '`npm run engine -- cpu` (or metal, cuda, vulkan), or serve an upstream with --upstream URL'
    throw new OperationError('engine_failed', message, { origin: 'engine', cause: error })
  }
}

/**
 * Below this size threads wait for each other longer than they compute: 924 against 90 tokens/s,
 * measured.
 */
const tinyModelBytes = 64 * MiB

/** About the physical cores: a second thread on a core only fights for its arithmetic units. */
export function defaultThreads(modelBytes: number): number {
  return modelBytes < tinyModelBytes ? 1 : Math.max(1, Math.floor(availableParallelism() / 2))
}

/**
 * Whether a package with a GPU build is really there. `npm ci` puts empty packages in the place of
 * the large CUDA and Vulkan builds (package.json, `overrides`); Metal is part of the ordinary build
 * for Apple's own chips.
 */
function hasGpuBuild(): boolean {
  if (process.platform === 'darwin') return process.arch === 'arm64'
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const modules = modulesFolder(fileURLToPath(import.meta.resolve('node-llama-cpp')))
  return ['cuda', 'vulkan'].some(kind => {
    const name = `@node-llama-cpp/${platform}-${process.arch}-${kind}`
    const file = join(modules, name, 'package.json')
    return existsSync(file) && readFileSync(file, 'utf8').includes(`"name": "${name}"`)
  })
}

/** The `node_modules` folder that holds the package of `file`. */
function modulesFolder(file: string): string {
  const folder = dirname(file)
  const isRoot = folder === dirname(folder)
  return isRoot || folder.endsWith('node_modules') ? folder : modulesFolder(folder)
}
