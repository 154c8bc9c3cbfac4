import type { BlockCodec, BlockIdentity } from '../../interface/block-codec.ts'
import type { BlockRows } from '../../interface/kv-state.ts'
import type { Random } from '../../std/random.ts'
import { nonceBytes } from '../../wire/block/sealed-block.ts'
import { blockForm, openRows, openRowsInPlace, sealRows } from './block-form.ts'

export interface InlineBlockCodecComponents {
  readonly random: Random
}

/** Seals and opens where it is called: for small blocks and the simulator. */
export class InlineBlockCodec implements BlockCodec {
  readonly name = 'block codec'
  readonly #random: Random

  constructor(components: InlineBlockCodecComponents) {
    this.#random = components.random
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  async seal(
    block: BlockIdentity,
    rows: BlockRows,
    nonce: Uint8Array = this.#random.bytes(nonceBytes),
  ): Promise<Uint8Array> {
    return sealRows(blockForm(block), rows, nonce)
  }

  async open(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows> {
    return openRows(blockForm(block), sealed)
  }

  async openInPlace(block: BlockIdentity, sealed: Uint8Array): Promise<BlockRows> {
    const isShared = sealed.buffer instanceof SharedArrayBuffer
    return isShared ? openRowsInPlace(blockForm(block), sealed) : await this.open(block, sealed)
  }
}
