import type { PrefixExplanation } from '../../../cache/prefix/prefix-cache.ts'
import { AdminClient, type PrefixQuestion } from '../../../client/admin-client.ts'
import { findRunningNode } from '../../../data-folder.ts'
import { OperationError } from '../../../errors.ts'
import type { Scope } from '../../../key/scope.ts'
import { type CommandContext, textOption } from '../../command.ts'

/**
 * From where a running node would compute the prompt of a body; undefined where none runs: only it
 * has the model's tokens, and knows what its engine and its peers hold.
 */
export async function explainPrefix(
  context: CommandContext,
  ask: Pick<PrefixQuestion, 'endpoint' | 'body'>,
  scope: Scope,
): Promise<PrefixExplanation | undefined> {
  const node = findRunningNode(context.data)
  if (node === undefined) return undefined
  const apiKey = textOption(context, 'apiKey')
  const question: PrefixQuestion = {
    ...ask,
    scope: scope.swarm === undefined ? 'local' : 'swarm',
    ...(apiKey === undefined ? {} : { apiKey }),
  }
  try {
    return await new AdminClient(node).explainPrefix(question, context)
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    return { isOn: false, reason: error.message }
  }
}
