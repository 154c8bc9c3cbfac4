import { AdminClient } from '../client/admin-client.ts'
import { findRunningNode, type RunningNode } from '../data-folder.ts'
import { OperationError } from '../errors.ts'

/** The node of a data folder. @throws node_not_running saying how to start one */
export function requireNode(data: string): RunningNode {
  const node = findRunningNode(data)
  if (node !== undefined) return node
  throw new OperationError(
    'node_not_running',
    `No node runs on ${data}. Start one with \`hyperspace up\``,
    { origin: 'client' },
  )
}

/** @throws node_not_running */
export function requireAdmin(data: string): AdminClient {
  return new AdminClient(requireNode(data))
}
