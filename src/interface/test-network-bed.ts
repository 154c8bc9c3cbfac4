import assert from 'node:assert/strict'
import { OperationError } from '../errors.ts'
import type { Network } from './network.ts'

/** Two networks of one swarm, and how to wait for them. */
export interface NetworkBed {
  readonly settle: <T>(promise: Promise<T>) => Promise<T>
  create(swarm?: string): Promise<Network>
  /** Two started nodes; `a` has dialled `b`. */
  pair(prepare?: (b: Network, a: Network) => void): Promise<readonly [a: Network, b: Network]>
}

export function failure(
  bed: NetworkBed,
  promise: Promise<unknown>,
  code: OperationError['code'],
): Promise<OperationError> {
  return bed.settle(failureOf(promise, code))
}

export async function failureOf(
  promise: Promise<unknown>,
  code: OperationError['code'],
): Promise<OperationError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof OperationError, `${code} expected, got ${error}`)
  assert.equal(error.code, code)
  return error
}

export async function collect(messages: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
  const texts: string[] = []
  for await (const message of messages) texts.push(Buffer.from(message).toString())
  return texts
}

export function text(content: string): Uint8Array {
  return new Uint8Array(Buffer.from(content))
}
