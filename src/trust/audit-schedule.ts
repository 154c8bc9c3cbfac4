import type { Standing } from './reputation.ts'

/**
 * Least share of fetched runs that are audited, however good the issuer's record is. At 0.05 an
 * issuer that begins to cheat is caught with 0.95 within 60 runs (1 - 0.95^60), and loses all that
 * it has earned; an audit costs one block of prefill in idle time.
 */
export const auditShareLeast = 0.05

/**
 * With which probability a run of blocks that a peer sent is audited: always while nothing is known
 * of the issuer, or after it went wrong; then falling with every audit that agreed. Pure.
 */
export function auditProbability({ auditsAgreed, offences, score }: Standing): number {
  if (offences > 0 || score < 0) return 1
  return Math.max(auditShareLeast, 1 / (1 + auditsAgreed))
}
