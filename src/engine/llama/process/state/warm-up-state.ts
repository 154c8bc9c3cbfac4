import { blockBytes, blockTokens } from '../../../../key/state-layout.ts'
import type { StateThread } from './state-thread.ts'
import { StreamedJoin, type StreamedJoinComponents } from './streamed-join.ts'

const form = {
  layout: { layers: [{ keyBytes: 2, valueBytes: 2 }], settings: 'none' },
  sequences: 1,
}

/**
 * Starts the thread for state files, makes their folder, and writes, reads and removes a small file
 * of nobody's: the first request that needs them finds everything ready. Also where that fails: the
 * request will try again.
 * @throws as `StateThread`; store_failed
 */
export async function warmUpState(
  parts: StreamedJoinComponents & { readonly thread: Pick<StateThread, 'cut'> },
): Promise<void> {
  const tokenIds = Array.from({ length: blockTokens }, () => 0)
  const join = new StreamedJoin(parts, form, tokenIds)
  join.add(new Uint8Array(new SharedArrayBuffer(blockBytes(form.layout))))
  const { path } = await join.finish()
  try {
    const range = { from: 0, to: 1 }
    await parts.thread.cut({ type: 'cut', path, layout: form.layout, tokenIds, range })
  } finally {
    parts.files.remove(path)
  }
}
