import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtServer } from './llama-server.ts'

// Builds the llama-server that belongs to the installed engine, from the source of llama.cpp inside
// its package. Needs git, cmake, ninja and a C++ compiler; takes minutes.

const bundle = fileURLToPath(
  new URL('../../node_modules/node-llama-cpp/llama/gitRelease.bundle', import.meta.url),
)
const build = join(dirname(builtServer), '..')
const source = join(build, '..')

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: 'inherit' })
}

if (!existsSync(join(source, 'CMakeLists.txt'))) run('git', 'clone', '--quiet', bundle, source)
run(
  'cmake',
  ...['-S', source, '-B', build, '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Release'],
  ...['-DLLAMA_BUILD_UI=OFF', '-DLLAMA_OPENSSL=OFF', '-DLLAMA_BUILD_TESTS=OFF'],
)
run('ninja', '-C', build, 'llama-server')
