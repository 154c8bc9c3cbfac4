import { OperationError } from '../../errors.ts'

/** What a log may say of an error that a peer had a part in: never its text. */
export function errorLabel(error: unknown): string {
  if (error instanceof OperationError) return error.code
  return error instanceof Error ? error.name : typeof error
}

/** Whether the peer sent what nobody who keeps to the protocol sends. */
export function isFaultOfPeer(error: unknown): boolean {
  return error instanceof OperationError && error.code === 'peer_message_invalid'
}
