import type { CommandContext } from '../command.ts'

/** What one check of the doctor found. */
export interface Finding {
  readonly name: string
  readonly isOk: boolean
  readonly detail: string
  /** What to do about it. */
  readonly remedy?: string
}

export type Check = (context: CommandContext) => Promise<Finding>
