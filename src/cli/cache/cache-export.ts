import { open, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { exportRecords } from '../../cache/inspect-cache.ts'
import { OperationError } from '../../errors.ts'
import type { Store } from '../../interface/store.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { type CommandContext, isSwitchedOn } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { plural } from '../format.ts'
import { withReadOnlyStore } from './cache-access.ts'
import { encodeEnd, encodeHeader, encodeRecord } from './export-format.ts'
import { folderSecret } from './folder-secret.ts'

type WriteLine = (line: string) => Promise<void>

/** Writes all stored answers to a file (whole or not at all) or to stdout. */
export async function cacheExport(context: CommandContext): Promise<ExitCode> {
  const { terminal, args, data } = context
  const [file] = args
  const secret = folderSecret(data)
  if (secret === undefined) {
    throw new OperationError('not_found', `There are no stored answers in ${data}`, {
      origin: 'client',
    })
  }
  const records = await withReadOnlyStore(context, async store => {
    const writeAll = (write: WriteLine): Promise<number> =>
      writeExport(store, { write, secret, signal: context.signal })
    if (file === undefined || file === '-') {
      return await writeAll(async line => terminal.write(line))
    }
    return await writeFileOnce(resolve(file), writeAll)
  })
  const target = file === undefined || file === '-' ? 'stdout' : file
  // On stderr, as stdout may be the export itself.
  terminal.writeError(
    isSwitchedOn(context, 'json')
      ? `${JSON.stringify({ records, file: target })}\n`
      : `Wrote ${plural(records, 'answer')} to ${target}\n`,
  )
  return exitCodes.ok
}

async function writeExport(
  store: Store,
  options: AbortOptions & { readonly write: WriteLine; readonly secret: Uint8Array },
): Promise<number> {
  const { write, secret, signal } = options
  let records = 0
  await write(encodeHeader(secret))
  for (const { key } of store.list()) {
    signal.throwIfAborted()
    for (const record of exportRecords(store, [key])) {
      await write(encodeRecord(record))
      records += 1
    }
  }
  await write(encodeEnd(records))
  return records
}

/** Readable by its owner only; appears under its name when it is whole. */
async function writeFileOnce(
  path: string,
  writeAll: (write: WriteLine) => Promise<number>,
): Promise<number> {
  const draft = `${path}.part`
  try {
    const handle = await open(draft, 'w', 0o600)
    try {
      const records = await writeAll(line => handle.appendFile(line))
      await handle.sync()
      await rename(draft, path)
      return records
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new OperationError('store_failed', `Cannot write ${path}: ${error.message}`, {
      origin: 'client',
      cause: error,
    })
  }
}
