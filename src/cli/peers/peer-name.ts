import { OperationError } from '../../errors.ts'
import { type PeerId, parsePeerId } from '../../key/peer-id.ts'
import { UsageError } from '../exit-code.ts'

/** Fewer characters would often fit several. */
const endLengthMin = 6

/**
 * The peer that a person means: a whole id, or the end of one of the known ones as `hyperspace
 * peers` shows it.
 * @throws UsageError, not_found
 */
export function peerNamed(text: string, known: readonly string[]): PeerId {
  const whole = parsePeerId(text)
  if (whole !== undefined) return whole
  if (!new RegExp(`^[1-9A-HJ-NP-Za-km-z]{${endLengthMin},51}$`).test(text)) {
    throw new UsageError(
      `'${text}' is no peer: give a peer id (12D3Koo…), or at least its last ${endLengthMin} ` +
        'characters',
    )
  }
  const matches = [...new Set(known)].filter(id => id.endsWith(text))
  if (matches.length > 1) throw new UsageError(`'${text}' fits ${matches.length} peers`)
  const match = parsePeerId(matches[0] ?? '')
  if (match !== undefined) return match
  throw new OperationError('not_found', `No known peer's id ends with ${text}`, {
    origin: 'client',
  })
}
