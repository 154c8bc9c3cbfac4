import { statSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import type { Config } from '../../config.ts'
import { dataFolderPaths } from '../../data-folder.ts'
import { MiB } from '../../limits.ts'
import { systemClock } from '../../std/clock.ts'
import type { CommandContext } from '../command.ts'
import { bytesText } from '../format.ts'
import { modelFolderOf } from '../models/model-folder-of.ts'
import type { Finding } from './finding.ts'

/** As `engines` in package.json. */
const nodeMin = [22, 18] as const
/** No release of this program is older; a clock before it was never set. */
const clockMin = Date.UTC(2026, 0, 1)
/** Between the clock of a file server and ours. */
const clockToleranceMs = 3_600_000
/** The runtime, the server and LMDB's maps without any model or cached answer. */
const processBytes: number = 150 * MiB

export async function checkRuntime(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isOk = major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])
  const detail = `${process.versions.node} on ${process.platform}-${process.arch}`
  return {
    name: 'Node.js',
    isOk,
    detail,
    ...(isOk ? {} : { remedy: `install Node.js ${nodeMin.join('.')} or later` }),
  }
}

/** Records expire by the clock: one that is wrong by years makes all answers old or eternal. */
export async function checkClock({ data }: CommandContext): Promise<Finding> {
  const now = systemClock.now()
  const written = statSync(dataFolderPaths(data).logFile, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const detail = new Date(now).toISOString()
  const remedy = 'set the clock, for example with NTP'
  if (now < clockMin)
    return { name: 'Clock', isOk: false, detail: `${detail} is long past`, remedy }
  if (written > now + clockToleranceMs) {
    const future = new Date(written).toISOString()
    return { name: 'Clock', isOk: false, detail: `${detail}, but the log is of ${future}`, remedy }
  }
  return { name: 'Clock', isOk: true, detail }
}

export async function checkMemory(
  { data }: CommandContext,
  { model, maxMemory }: Config,
): Promise<Finding> {
  const known = await modelFolderOf(data).folder.list()
  const wanted = known.filter(({ name, aliases, path, origin }) => {
    if (model.length === 0) return origin === 'bundled'
    return [name, path, ...aliases].some(text => model.includes(text))
  })
  const modelBytes = wanted.reduce((sum, { fileBytes }) => sum + fileBytes, 0)
  const neededBytes = processBytes + modelBytes + maxMemory
  const free = `${bytesText(freemem())} free of ${bytesText(totalmem())}`
  const detail = `${free}, about ${bytesText(neededBytes)} needed`
  // Free memory changes by the second and caches give way: only what can never fit is broken.
  if (neededBytes < totalmem()) return { name: 'Memory', isOk: true, detail }
  const remedy = 'take a smaller model or quantisation, or lower maxMemory'
  return { name: 'Memory', isOk: false, detail, remedy }
}
