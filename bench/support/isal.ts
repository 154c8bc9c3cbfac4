import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Intel's ISA-L, compiled when the bench starts. */
export interface Isal {
  /** Fastest of a few repeats of each, in seconds. */
  measure(shape: IsalShape): { readonly encode: number; readonly reconstruct: number }
  remove(): void
}

export interface IsalShape {
  readonly dataShards: number
  readonly parityShards: number
  readonly shardBytes: number
}

const source = fileURLToPath(new URL('../targets/isal-speed.c', import.meta.url))
const repeats = 3

/** The reason when it cannot be had: without gcc, or without Debian's libisal-dev. */
export function compileIsal(): Isal | string {
  const folder = mkdtempSync(join(tmpdir(), 'hyperspace-isal-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  const program = join(folder, 'isal-speed')
  try {
    execFileSync('gcc', ['-O2', source, '-o', program, '-lisal'], { stdio: 'pipe' })
  } catch (error) {
    remove()
    const text = error instanceof Error ? error.message : String(error)
    return text.includes('ENOENT') ? 'gcc is not installed' : 'libisal-dev is not installed'
  }
  return {
    measure({ dataShards, parityShards, shardBytes }) {
      const numbers = [dataShards, parityShards, shardBytes, repeats].map(String)
      const [encode, reconstruct] = execFileSync(program, numbers, { encoding: 'utf8' }).split(' ')
      return { encode: Number(encode), reconstruct: Number(reconstruct) }
    },
    remove,
  }
}
