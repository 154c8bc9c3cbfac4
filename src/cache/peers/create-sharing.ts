import type { Scope } from '../../key/scope.ts'
import type { Startable } from '../../std/lifecycle.ts'
import { IssuerKeys } from '../../trust/issuer-keys.ts'
import { Certifier, type CertifierComponents } from './certifier.ts'
import { PeerAnswers, type PeerAnswersComponents } from './peer-answers.ts'
import { PeerLedger } from './records/peer-ledger.ts'
import { RecordServer } from './records/record-server.ts'
import { SharedFlights } from './records/shared-flights.ts'
import { SharedKeys } from './records/shared-keys.ts'
import { SwarmAnswers, type SwarmAnswersComponents } from './swarm-answers.ts'

export interface SharingComponents
  extends Omit<PeerAnswersComponents, 'issuerKeys' | 'onReceived'>,
    Omit<CertifierComponents, 'shared'>,
    Pick<SwarmAnswersComponents, 'cache'> {}

export interface SharingOptions {
  readonly scope: Scope
  /** Whether answers of upstreams are taken on their issuer's word. */
  readonly acceptUpstream: boolean
}

/** The answers that a node gives to its swarm and takes from it. Starts after the network. */
export interface Sharing extends Startable {
  readonly answers: SwarmAnswers
  readonly shared: SharedKeys
  readonly flights: SharedFlights
  readonly ledger: PeerLedger
}

/** Before the network starts: it serves the protocols from then on. */
export function createSharing(components: SharingComponents, options: SharingOptions): Sharing {
  const { reputation, clock, metrics } = components
  const { acceptUpstream } = options
  const { swarm } = options.scope
  const stopped = new AbortController()
  const { signal } = stopped
  const shared = new SharedKeys(components, swarm)
  const flights = new SharedFlights(clock)
  const ledger = new PeerLedger()
  new RecordServer({
    ...components,
    shared,
    flights,
    onServed: (peer, bytes) => {
      ledger.noteServed(peer, bytes)
      metrics.peerAnswerServed(bytes)
    },
    onMisbehaviour: peer => reputation.note(peer, 'invalid-message'),
  }).register()
  const issuerKeys = new IssuerKeys()
  const answers = new PeerAnswers(
    {
      ...components,
      issuerKeys,
      onReceived: (peer, bytes) => {
        ledger.noteReceived(peer, bytes)
        metrics.peerAnswerReceived(bytes)
      },
    },
    { signal, acceptUpstream },
  )
  const certifier = new Certifier({ ...components, shared }, { swarm, signal })
  return {
    name: 'sharing',
    shared,
    flights,
    ledger,
    answers: new SwarmAnswers({ ...components, answers, shared, flights, certifier }, { swarm }),
    start: () => shared.start(),
    async stop() {
      stopped.abort(new DOMException('The node is leaving the swarm', 'AbortError'))
      await shared.stop()
    },
  }
}
