import type { Network } from '../../../interface/network.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import { placeQueueMax } from '../../../limits.ts'
import type { Clock } from '../../../std/clock.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import type { LocalBlocks } from '../hold/own-stripes.ts'
import type { PlaceJob } from './place-queue.ts'

export interface LonelyBlocksComponents {
  readonly network: Network
  readonly localBlocks: LocalBlocks
  readonly clock: Clock
  readonly scope: TaskScope
  readonly onReady: (job: NewBlock) => void
}

type NewBlock = Extract<PlaceJob, { readonly type: 'place' }>

/** What is remembered of a block that is to be placed. */
export type LonelyBlock = Pick<NewBlock, 'key' | 'modelId' | 'numericClass'>

/** Others often come together: a swarm that starts is placed on when it has gathered. */
const gatherMs = 5_000

/** Blocks that were computed while there was nobody to place them on: placed once there is. */
export class LonelyBlocks {
  readonly #parts: LonelyBlocksComponents
  readonly #blocks = new Map<LookupKey, LonelyBlock>()
  #endTelling = (): void => undefined
  #cancelTimer: (() => void) | undefined

  constructor(components: LonelyBlocksComponents) {
    this.#parts = components
  }

  start(): void {
    this.#endTelling = this.#parts.network.onPeerChange(({ type }) => {
      if (type === 'connected') this.#gather()
    })
  }

  stop(): void {
    this.#endTelling()
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#blocks.clear()
  }

  /** Past the maximum the newest are not remembered: the first ones are whole prompts. */
  add({ key, modelId, numericClass }: LonelyBlock): void {
    if (this.#blocks.size < placeQueueMax) this.#blocks.set(key, { key, modelId, numericClass })
  }

  remove(key: LookupKey): void {
    this.#blocks.delete(key)
  }

  #gather(): void {
    if (this.#blocks.size === 0 || this.#cancelTimer !== undefined) return
    const { clock, scope } = this.#parts
    this.#cancelTimer = clock.after(gatherMs, () => {
      this.#cancelTimer = undefined
      scope.spawn('place lonely blocks', signal => this.#release(signal))
    })
  }

  async #release(signal: AbortSignal): Promise<void> {
    const { localBlocks, onReady } = this.#parts
    for (const [key, block] of [...this.#blocks]) {
      this.#blocks.delete(key)
      const sealed = await localBlocks.sealed(key)
      if (signal.aborted) return
      if (sealed !== undefined) onReady({ type: 'place', ...block, sealed })
    }
  }
}
