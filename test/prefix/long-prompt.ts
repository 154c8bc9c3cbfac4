import type { BedNode } from '../swarm/bed-node.ts'

const facts = [
  'Orders leave the warehouse on the day on which they were paid.',
  'A parcel that was lost is sent again at no cost.',
  'Cards are replaced within a week, and the old one is closed at once.',
  'Whoever forgot a password gets a link that lives for an hour.',
  'Refunds come back the way that the money came.',
  'We answer in the order of arrival, and in the language of the question.',
]

/** A system text of some tokens that no other `about` shares from its first word on. */
export function systemText(about: string, sentences: number): string {
  const lines = Array.from({ length: sentences }, (_, index) => {
    return `${index + 1}. ${facts[(index * 7) % facts.length]}`
  })
  return `You answer for ${about}.\n${lines.join('\n')}`
}

/** A system text that, with a question, has so many tokens for the node's model, or a few more. */
export async function systemTextOf(
  node: BedNode,
  model: string,
  tokens: number,
  about: string,
): Promise<string> {
  let sentences = Math.ceil(tokens / 40)
  for (;;) {
    const text = systemText(about, sentences)
    const counted = await countTokens(node, asked(model, text, 'Where?'))
    if (counted >= tokens) return text
    sentences += Math.ceil((sentences * (tokens - counted)) / counted)
  }
}

/** A chat in the form of /v1/messages, greedy and short. */
export function asked(model: string, system: string, question: string, maxTokens = 12): object {
  const messages = [{ role: 'user', content: question }]
  return { model, system, messages, max_tokens: maxTokens, temperature: 0 }
}

async function countTokens(node: BedNode, body: object): Promise<number> {
  const reply = await node.ask('/v1/messages/count_tokens', body)
  const counted: unknown = JSON.parse(reply.body)
  const isCount = typeof counted === 'object' && counted !== null && 'input_tokens' in counted
  if (!isCount) throw new Error(`No count of tokens: ${reply.body}`)
  return Number(counted.input_tokens)
}
