// Installs another build of llama.cpp beside what `npm ci` brings: `npm run engine -- cuda | vulkan | metal | cpu`. The lock
// file replaces these builds by an empty package (docs/decisions/0001), so npm alone would not bring them.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const builds = {
  'linux x64': { cuda: ['linux-x64-cuda', 'linux-x64-cuda-ext'], vulkan: ['linux-x64-vulkan'] },
  'linux riscv64': { cpu: ['linux-riscv64'] },
  'darwin arm64': { metal: ['mac-arm64-metal'] },
  'darwin x64': { cpu: ['mac-x64'] },
  'win32 x64': {
    cpu: ['win-x64'],
    cuda: ['win-x64-cuda', 'win-x64-cuda-ext'],
    vulkan: ['win-x64-vulkan'],
  },
  'win32 arm64': { cpu: ['win-arm64'] },
}

const machine = `${process.platform} ${process.arch}`
const here = builds[machine] ?? fail(`There is no other build for ${machine}`)
const names =
  here[process.argv[2] ?? ''] ?? fail(`Say which build, one of: ${Object.keys(here).join(', ')}`)

// …/node-llama-cpp/dist/index.js
const engine = join(dirname(createRequire(import.meta.url).resolve('node-llama-cpp')), '..')
const { version } = JSON.parse(readFileSync(join(engine, 'package.json'), 'utf8'))
const temporary = mkdtempSync(join(tmpdir(), 'hyperspace-engine-'))
try {
  for (const name of names) install(name)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
process.stdout.write('Done. `bin/hyperspace doctor` shows what the engine uses.\n')

function install(build) {
  const name = `@node-llama-cpp/${build}`
  process.stdout.write(`Downloading ${name}@${version} …\n`)
  const run = { encoding: 'utf8', cwd: temporary, shell: process.platform === 'win32' }
  const packed = JSON.parse(execFileSync('npm', ['pack', '--json', `${name}@${version}`], run))
  const target = join(engine, '..', '@node-llama-cpp', build)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  execFileSync('tar', [
    '-xzf',
    join(temporary, packed[0].filename),
    '-C',
    target,
    '--strip-components=1',
  ])
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}
