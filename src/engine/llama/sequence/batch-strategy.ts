import type { BatchItem, CustomBatchingPrioritizationStrategy } from 'node-llama-cpp'
import { tiledChunkTokensMin } from './plan-resume.ts'

/**
 * Which pending evaluations share the next native batch.
 *
 * llama.cpp splits a batch of unequal sequences into pieces of equal length: a block of 128 beside
 * a decode of 1 would be computed as 1 + 127, the 1 with the other kernel, and its KV state would
 * depend on who else was served (see plan-resume.ts). So blocks go only with blocks of the same
 * length, and everything short goes with everything short. The two kinds take turns, so that
 * neither a long prompt nor many answers starve the other.
 */
export function createBatchStrategy(): CustomBatchingPrioritizationStrategy {
  let wasTiled = false
  return ({ items, size }) => {
    const tiled = items.filter(isTiled)
    const short = items.filter(item => !isTiled(item))
    const useTiled = short.length === 0 || (tiled.length > 0 && !wasTiled)
    wasTiled = useTiled
    const [first] = tiled
    const chosen = useTiled
      ? tiled.filter(item => item.tokens.length === first?.tokens.length)
      : short
    return wholeItems(chosen, size).map(item => ({ item, processAmount: item.tokens.length }))
  }
}

function isTiled(item: BatchItem): boolean {
  return item.tokens.length >= tiledChunkTokensMin
}

/** As many items as fit whole, in their order. Callers keep every item below the batch size. */
function wholeItems(items: readonly BatchItem[], size: number): readonly BatchItem[] {
  let left = size
  return items.filter(item => {
    if (item.tokens.length > left) return false
    left -= item.tokens.length
    return true
  })
}
