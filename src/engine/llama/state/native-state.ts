import type { StateLayout } from '../../../key/state-layout.ts'
import type { AbortOptions } from '../../../std/signal.ts'

/**
 * KV state between the process that runs llama.cpp and the node's: as state files of llama.cpp
 * ("ggsq"), whole sequences, in a folder that both see. The node's side cuts them into blocks and
 * joins blocks into them (state-file.ts); the engine's side only ever loads files that the node's
 * side has made from checked rows: its loader ends the process on a bad one.
 */
export interface StateFile {
  readonly path: string
  /** The leading tokens that it covers: a whole number of blocks, each prefilled as a block. */
  readonly tokenIds: readonly number[]
}

/** Beside `GenerateOptions`, on the engine's side of the process border. */
export interface NativeStateOptions {
  /** Begun from when it covers more than what is resident in the sequence that is lent. */
  readonly load?: StateFile | undefined
  /**
   * Written after the last event was taken and before the sequence is given back, when that much
   * was computed as blocks. llama.cpp saves whole sequences, so the file holds more tokens than
   * these, which are its first. There is no file when it could not be written, or the reader
   * walked away.
   */
  readonly save?: StateFile | undefined
}

export interface NativeStateAccess {
  readonly layout: StateLayout
  /** Sequences of the context: every state file must name as many streams. */
  readonly sequences: number
  /** Writes the state of a resident prefix. False when it is not resident (any more). */
  save(file: StateFile, options: AbortOptions & { readonly partition: string }): Promise<boolean>
  /**
   * Prefills the last block of `tokenIds` on top of `before` (absent: it is the first), and writes
   * the state of all of them to `path`, when nobody else wants the engine. Leaves nothing resident.
   * @throws engine_busy
   */
  recompute(what: Recomputation, options: AbortOptions): Promise<void>
  /** Tells what each sequence holds, whenever that changes. */
  onResident(listener: (slot: number, resident: ResidentPrefix) => void): void
}

export interface Recomputation {
  readonly tokenIds: readonly number[]
  readonly before?: StateFile
  readonly path: string
}

export interface ResidentPrefix {
  readonly partition: string
  /** Only the tokens that were computed as blocks. */
  readonly tokenIds: readonly number[]
}
