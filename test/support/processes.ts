import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

/** Whether a process has ended. One that only waits to be reaped has. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return true
  }
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return process.platform === 'linux'
  }
}

/** Resolves when a process that is no child of ours has ended: nothing tells, so it looks. */
export async function gone(pid: number, signal: AbortSignal): Promise<void> {
  while (!isGone(pid)) await setTimeout(5, undefined, { signal })
}

/** The child of a process whose command line has this in it; undefined while there is none (Linux). */
export function childOf(parent: number, command: string): number | undefined {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .find(pid => {
      const text = readOf(`/proc/${pid}/stat`)
      const [, parentPid] = text.slice(text.lastIndexOf(')') + 2).split(' ')
      return Number(parentPid) === parent && readOf(`/proc/${pid}/cmdline`).includes(command)
    })
}

/** Empty when the process has ended meanwhile. */
function readOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
