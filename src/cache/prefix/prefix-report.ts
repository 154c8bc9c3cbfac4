import type { SparedTokens } from '../../interface/metrics.ts'
import type { PeerId } from '../../key/peer-id.ts'

/** What the prefix cache did for one generation; whole from its first event on. */
export interface PrefixReport {
  /**
   * Why it went so, for people; ASCII, since it travels in a header. Absent where there was nothing
   * to decide: the prompt is no longer than a block.
   */
  readonly reason?: string
  /** Prompt tokens that were not computed, by where their state came from. */
  readonly spared: SparedTokens
  /** Of the prompt, tokens whose state rests on blocks of peers that nobody has audited. */
  readonly unauditedTokens: number
  /** Whose blocks it rests on, audited or not. */
  readonly issuers: readonly PeerId[]
}

/** Tokens whose state was brought into the engine for this generation. */
export function importedTokensOf({ spared }: PrefixReport): number {
  return spared.memory + spared.disk + spared.peer
}
