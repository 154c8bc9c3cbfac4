import { randomBytes, randomUUID } from 'node:crypto'

/** Randomness comes in through this interface, so that the simulator can replay a seed. */
export interface Random {
  bytes(count: number): Uint8Array
  uuid(): string
}

export const systemRandom: Random = {
  bytes: count => randomBytes(count),
  uuid: () => randomUUID(),
}
