import { AssertionError } from 'node:assert'

/** States what must hold if our model of the program is right. Throws `AssertionError` when not. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError({ message })
}

/** Marks the branch that the types say cannot be taken. */
export function unreachable(value: never): never {
  throw new AssertionError({ message: `Unreachable: ${JSON.stringify(value)}` })
}
