/** What a bench measured. Every number that can be is told as a ratio to a named rival or limit. */
export interface BenchResult {
  readonly name: string
  readonly rows: readonly BenchRow[]
}

export interface BenchRow {
  readonly label: string
  readonly value: number
  readonly unit: string
  /** `value` divided by the rival's. */
  readonly ratio?: number
  /** What the ratio is to. */
  readonly of?: string
  /** What was aimed at, in words. */
  readonly target?: string
}
