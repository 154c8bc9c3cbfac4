import { OperationError } from '../errors.ts'

/** How talking to a peer fails. The wording is ours: a peer's own text goes nowhere. */
export type PeerErrorCode =
  | 'peer_failed'
  | 'peer_message_invalid'
  | 'peer_overloaded'
  | 'peer_timeout'
  | 'peer_unreachable'
  | 'swarm_refused'

const texts: { readonly [code in PeerErrorCode]: string } = {
  peer_failed: 'The peer could not answer',
  peer_message_invalid: 'The peer sent what it must not send',
  peer_overloaded: 'The peer has too much to do',
  peer_timeout: 'The peer did not answer in time',
  peer_unreachable: 'The peer is not connected',
  swarm_refused: 'The peer belongs to another swarm',
}

export function peerError(code: PeerErrorCode, cause?: unknown): OperationError {
  const retryable = code !== 'swarm_refused' && code !== 'peer_message_invalid'
  return new OperationError(code, texts[code], { origin: 'peer', retryable, cause })
}

/** The code as it came over the wire; whatever is none of ours counts as a plain failure. */
export function asPeerErrorCode(text: string): PeerErrorCode {
  return Object.hasOwn(texts, text) ? (text as PeerErrorCode) : 'peer_failed'
}
