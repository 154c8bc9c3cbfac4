import { blobName, testBlob } from '../../src/interface/blob-store.compliance.ts'
import type { NewBlob } from '../../src/interface/blob-store.ts'
import { silentLog } from '../../src/interface/log.ts'
import { systemClock } from '../../src/std/clock.ts'
import { FileStore } from '../../src/store/files/file-store.ts'

/** Puts at the same time. */
const inFlight = 16
const putsPerName = 10

/**
 * Puts and updates blobs without end, for `blob-kill.test.ts` to kill: every line it prints is the
 * number of a blob whose put has resolved. Which bytes belong to a number follows from it.
 * Numbers that are `inFlight` apart are put one after the other; ten of these share a name.
 *
 *     node blob-put-child.ts FOLDER FIRST BYTES_MAX
 */
export function blobOfNumber(number: number): NewBlob {
  const bytes = (number * 7_919) % 90_000
  const costSeconds = 1 + (number % 7)
  // Never expires while the test runs, on the system's clock.
  return testBlob(`${number}`, { bytes, costSeconds, expiresAt: 8e15 })
}

export function nameOfNumber(number: number): string {
  const step = Math.floor(number / inFlight)
  return blobName(`${number % inFlight} ${Math.floor(step / putsPerName)}`)
}

/** The numbers that replace a number's blob, itself included. */
export function successorsOf(number: number): readonly number[] {
  const left = putsPerName - (Math.floor(number / inFlight) % putsPerName)
  return Array.from({ length: left }, (_, index) => number + index * inFlight)
}

async function main(folder: string, first: number, bytesMax: number): Promise<void> {
  const store = new FileStore({ clock: systemClock, log: silentLog }, { folder, bytesMax })
  await store.start({ signal: new AbortController().signal })
  const putNext = async (number: number): Promise<void> => {
    for (let next = number; ; next += inFlight) {
      await store.put(nameOfNumber(next), blobOfNumber(next))
      await store.update(nameOfNumber(next), { expiresAt: 8e15 - 1 })
      process.stdout.write(`${next}\n`)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, (_, lane) => putNext(first + lane)))
}

const [folder, first, bytesMax] = process.argv.slice(2)
if (folder !== undefined && import.meta.main) await main(folder, Number(first), Number(bytesMax))
