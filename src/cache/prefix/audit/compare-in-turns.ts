import type { BlockRows } from '../../../interface/kv-state.ts'
import type { StateLayout } from '../../../key/state-layout.ts'
import { afterThisTurn } from '../../../std/turn.ts'
import { compareRows, type RowComparison } from '../../../trust/compare-rows.ts'

/** Bytes compared in one turn of the event loop, in whole planes: about 5 ms. */
const comparedBytesPerTurn = 1_048_576

/** `compareRows` with turns for others in between: the rows of a large model take 0.2 s. */
export async function compareInTurns(
  layout: StateLayout,
  claimed: BlockRows,
  computed: BlockRows,
): Promise<RowComparison> {
  const planeBytes = claimed.length / Math.max(1, layout.layers.length * 2)
  let comparedBytes = 0
  const steps = compareRows(layout, claimed, computed)
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value
    comparedBytes += planeBytes
    if (comparedBytes < comparedBytesPerTurn) continue
    comparedBytes = 0
    await new Promise<void>(afterThisTurn)
  }
}
