import { OperationError } from '../../../errors.ts'
import type { BlockRows } from '../../../interface/kv-state.ts'
import type { Log } from '../../../interface/log.ts'
import type { ModelId } from '../../../key/model-id.ts'
import type { LookupKey } from '../../../key/response-key.ts'
import type { SwarmTag } from '../../../key/scope.ts'
import { prefixFillBytesMax, prefixFillHoldMsMax, prefixFillsMax } from '../../../limits.ts'
import type { TaskScope } from '../../../std/task-scope.ts'
import type { PlaceableBlock } from '../../blocks/swarm-blocks.ts'
import type { PromptBlock } from '../prompt-blocks.ts'
import { type BlockOrigin, isTrusted } from './block-note.ts'
import type { BlockTiers, BlockTiersComponents } from './block-tiers.ts'

export type { PlaceableBlock }

export interface FillQueueComponents
  extends Pick<BlockTiersComponents, 'codec' | 'clock' | 'metrics' | 'refused'> {
  readonly tiers: BlockTiers
  readonly log: Log
  readonly scope: TaskScope
}

/** A block that is to be kept. */
export interface BlockFill {
  readonly block: PromptBlock
  readonly rows: BlockRows
  readonly origin: BlockOrigin
  /** Of the seal in which a peer sent it: it is stored as it came. */
  readonly nonce?: Uint8Array
  readonly swarm: SwarmTag | undefined
  readonly costSeconds: number
  readonly expiresAt: number
  readonly modelId: ModelId
  /** Gives it to the swarm once it is sealed; absent: it stays here. */
  readonly place?: (block: PlaceableBlock) => void
}

/**
 * Blocks on their way to the disk, one after the other in the background: nobody's answer waits for
 * them. Sheds, counted, when the disk cannot keep up: what is shed is kept the next time.
 */
export class FillQueue {
  readonly #parts: FillQueueComponents
  readonly #waiting: BlockFill[] = []
  readonly #keys = new Set<LookupKey>()
  #bytes = 0
  #isRunning = false
  #hasFailed = false
  #holds = 0
  #wake: () => void = () => undefined

  constructor(components: FillQueueComponents) {
    this.#parts = components
  }

  /** Never throws. The rows are in memory at once, whatever becomes of the disk. */
  add(fill: BlockFill): void {
    const { tiers, metrics, scope } = this.#parts
    if (!this.#isWanted(fill)) return
    tiers.keepOpen(fill.block.key, fill)
    if (this.has(fill.block.key)) return
    const bytes = this.#bytes + fill.rows.length
    if (this.#waiting.length >= prefixFillsMax || bytes > prefixFillBytesMax) {
      metrics.blocksShed('queue_full', 1)
      return
    }
    this.#waiting.push(fill)
    this.#keys.add(fill.block.key)
    this.#bytes = bytes
    if (!this.#isHeld) this.#wake()
    if (this.#isRunning) return
    this.#isRunning = true
    scope.spawn('store blocks', () => this.#run())
  }

  /** Whether the block is on its way to the disk already. */
  has(key: LookupKey): boolean {
    return this.#keys.has(key)
  }

  /**
   * Blocks wait, as long as there is room for more, until what this returns is called: somebody
   * waits for a first token, and the processor has better things to do. Not for long.
   */
  hold(): () => void {
    this.#holds += 1
    let isHeld = true
    const release = (): void => {
      cancel()
      if (!isHeld) return
      isHeld = false
      this.#holds -= 1
      if (!this.#isHeld) this.#wake()
    }
    const cancel = this.#parts.clock.after(prefixFillHoldMsMax, release)
    return release
  }

  /** What is being stored at the moment goes too. */
  clear(): void {
    this.#waiting.length = 0
    this.#keys.clear()
    this.#bytes = 0
  }

  /** To the end also when the node stops: what waits is bounded, and was worth computing. */
  async #run(): Promise<void> {
    try {
      for (;;) {
        while (this.#waiting.length > 0 && this.#isHeld) await this.#woken()
        const fill = this.#waiting.shift()
        if (fill === undefined) return
        this.#bytes -= fill.rows.length
        await this.#store(fill)
        this.#keys.delete(fill.block.key)
      }
    } finally {
      this.#isRunning = false
    }
  }

  get #isHeld(): boolean {
    const isRoomy =
      this.#bytes < prefixFillBytesMax / 2 && this.#waiting.length < prefixFillsMax / 2
    return this.#holds > 0 && isRoomy
  }

  #woken(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }

  async #store(fill: BlockFill): Promise<void> {
    const { tiers, codec, metrics, refused } = this.#parts
    const { block, rows, nonce, swarm, costSeconds, expiresAt } = fill
    if (!this.#isWanted(fill)) return
    try {
      const sealed = await codec.seal(block, rows, nonce)
      const note = { origin: this.#originOf(fill), index: block.index }
      const shared = swarm === undefined ? {} : { swarm }
      await tiers.store(block.key, { sealed, note: { ...note, ...shared }, costSeconds, expiresAt })
      const isCleared = !this.has(block.key)
      if (isCleared || refused.includes(fill.origin)) return await tiers.remove(block.key)
      metrics.blocksCounted('stored', 1)
      this.#hasFailed = false
      // Not before: peers are served what lies on the disk.
      this.#place(fill, sealed)
    } catch (error) {
      this.#failed(error)
    }
  }

  /** What was computed here meanwhile, or was audited, is not given up for what a peer says. */
  #isWanted(fill: BlockFill): boolean {
    const { tiers, refused } = this.#parts
    const origin = this.#originOf(fill)
    if (refused.includes(origin)) return false
    const kept = tiers.originOf(fill.block.key)
    return isTrusted(origin) || kept === undefined || !isTrusted(kept)
  }

  /** As it is now: its run may have been audited while it waited. */
  #originOf({ block, origin }: BlockFill): BlockOrigin {
    const kept = this.#parts.tiers.originOf(block.key)
    if (kept === undefined || kept.type === 'own' || origin.type === 'own') return origin
    return kept.run === origin.run && kept.type === origin.type ? kept : origin
  }

  #place({ block, modelId, costSeconds, place }: BlockFill, sealed: Uint8Array): void {
    if (place === undefined) return
    const { numericClass } = block.kind
    place({ hash: block.hash, sealed, modelId, numericClass, costSeconds })
  }

  /** Says so the first time: a full disk fails for every block. */
  #failed(error: unknown): void {
    const { metrics, log } = this.#parts
    if (error instanceof OperationError && error.code === 'block_invalid') {
      metrics.blocksCounted('invalid', 1)
      log.warn('block not kept', { error })
      return
    }
    metrics.blocksShed('store_failed', 1)
    if (!this.#hasFailed) log.warn('blocks not stored', { error })
    this.#hasFailed = true
  }
}
