import { silentLog } from '../../src/interface/log.ts'
import { testKey, testRecord } from '../../src/interface/store.compliance.ts'
import { systemClock } from '../../src/std/clock.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'

/**
 * Puts records without end, for `store-kill.test.ts` to kill: every line it prints is the number of
 * a record whose put has resolved. Which bytes belong to a number follows from it.
 *
 *     node store-put-child.ts FOLDER FIRST BYTES_MAX
 */
export function recordOfNumber(number: number): ReturnType<typeof testRecord> {
  const bytes = (number * 7_919) % 6_000
  // Never expires while the test runs, on the system's clock.
  return testRecord(`record ${number}`, { bytes, costSeconds: 1 + (number % 7), expiresAt: 8e15 })
}

async function main(folder: string, first: number, bytesMax: number): Promise<void> {
  const store = new LmdbStore({ clock: systemClock, log: silentLog }, { folder, bytesMax })
  await store.start({ signal: new AbortController().signal })
  const putNext = async (number: number): Promise<void> => {
    for (let next = number; ; next += inFlight) {
      await store.put(testKey(`${next}`), recordOfNumber(next))
      if (next % 5 === 0) store.get(testKey(`${next}`))
      process.stdout.write(`${next}\n`)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, (_, lane) => putNext(first + lane)))
}

/** Puts at the same time. */
const inFlight = 24

const [folder, first, bytesMax] = process.argv.slice(2)
if (folder !== undefined && import.meta.main) await main(folder, Number(first), Number(bytesMax))
