import { engineYieldMsMax } from '../../limits.ts'
import { type AbortOptions, linkSignal } from '../../std/signal.ts'
import type { LoadedModel } from './loaded-model.ts'
import type { LeaseRequest } from './sequence/plan-lease.ts'
import type { ResidentSequence } from './sequence/resident-sequence.ts'
import type { Lease } from './sequence/sequence-pool.ts'

/**
 * Runs work that is in nobody's reply path on a sequence, when nobody else wants the engine. When
 * somebody does, its signal fires: it ends behind the native call that it is in, and is called
 * again later. After `engineYieldMsMax` it yields no more.
 * @throws engine_busy, when too much such work waits; the signal's reason; what the work throws
 */
export async function inBackground<Result>(
  { pool, clock }: LoadedModel,
  request: LeaseRequest,
  { signal }: AbortOptions,
  work: (lease: Lease<ResidentSequence>, options: AbortOptions) => Promise<Result>,
): Promise<Result> {
  const yieldsUntilMs = clock.monotonicMs() + engineYieldMsMax
  for (;;) {
    const lease = await pool.lease(request, { signal, yieldsUntilMs })
    const { wanted } = lease
    using either = linkSignal(clock, [signal, wanted])
    try {
      return await work(lease, either)
    } catch (error) {
      if (!wanted?.aborted || error !== wanted.reason) throw error
    } finally {
      lease.release()
    }
  }
}
