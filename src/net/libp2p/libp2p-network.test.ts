import { networkCompliance } from '../../interface/network.compliance.ts'
import { testNetwork } from './test-nodes.ts'

networkCompliance('Libp2pNetwork', async () => ({
  create: async options => testNetwork(options),
  settle: promise => promise,
  close: async () => undefined,
}))
