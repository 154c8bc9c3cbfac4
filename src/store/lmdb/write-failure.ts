/** What went wrong, in a form that can be sent between threads. */
export interface WriterFailure {
  readonly message: string
  /** As `errno` of the C library; negative (LMDB's own) or 0 where it is no system error. */
  readonly errno: number
}

/** A write that did not happen. */
export class WriteFailed extends Error {
  override readonly name = 'WriteFailed'
  readonly errno: number

  constructor(failure: WriterFailure) {
    super(failure.message)
    this.errno = failure.errno
  }
}

/** lmdb puts the errno into `code`; Node puts it into `errno`, negated. */
export function failureOf(error: unknown): WriterFailure {
  if (!(error instanceof Error)) return { message: String(error), errno: 0 }
  if (error instanceof WriteFailed) return { message: error.message, errno: error.errno }
  const code = 'code' in error && typeof error.code === 'number' ? error.code : 0
  const errno = 'errno' in error && typeof error.errno === 'number' ? -error.errno : code
  return { message: error.message, errno }
}
