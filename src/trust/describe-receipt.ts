import { isDigestId } from '../key/model-id.ts'
import type { Receipt, ReceiptFault } from '../wire/receipt.ts'
import type { LeavesFault } from './leaves.ts'
import type { ReceiptFact } from './receipt.ts'

/** What the check of a receipt, or of its leaves, found wrong, as a sentence. */
export const faultTexts: { readonly [fault in ReceiptFault | LeavesFault]: string } = {
  malformed: 'It is not a receipt, or not in the one form that receipts have.',
  'signature-wrong': 'The signature is not of the issuer it names, or a byte was changed.',
  expired: 'It has expired.',
  'from-future': 'It was issued in the future: the clock of the issuer, or of this node, is wrong.',
  'key-differs': 'It is of an answer to another request.',
  'model-differs': 'It is of an answer of another model.',
  'counts-differ': 'The answer has other token counts than it says.',
  'finish-differs': 'The answer ends otherwise than it says.',
  'text-differs': 'The text of the answer is not the one that was signed.',
  'tokens-differ': 'The tokens of the answer are not those that were signed.',
  'upstream-not-accepted':
    'It is of an upstream, which nobody can audit, and this node does not accept those.',
  'leaves-malformed': 'The leaves are not in the one form that leaves have.',
  'leaves-not-attested': 'The receipt has no Merkle root, so that no leaves belong to it.',
  'leaves-tokens-differ': 'The leaves are of other tokens than the answer.',
  'leaves-root-differs': 'The leaves do not lead to the Merkle root that was signed.',
}

/** In the order in which they are told. */
const factTexts: { readonly [fact in ReceiptFact]: string } = {
  signature: 'the signature is of the issuer, and no byte was changed since',
  dates: 'it is in force today',
  key: 'it is of the answer to this request',
  model: 'it is of an answer of this model',
  counts: 'the token counts are those of the answer',
  finish: 'the answer ends as it says',
  text: 'the text of the answer is the one that was signed',
  tokens: 'the tokens of the answer are those that were signed',
  leaves: 'the leaves (log-probability of each token) lead to the root that was signed',
}

/**
 * A receipt in words: who computed what and when, what was checked, and what was not. Lines without
 * line breaks, safe to print.
 */
export function describeReceipt(
  receipt: Receipt,
  checked: readonly ReceiptFact[],
): readonly string[] {
  const unchecked = uncheckedFacts(receipt, checked)
  return [
    ...statement(receipt),
    checked.length === 0 ? 'Nothing of it was checked.' : 'Checked:',
    ...Object.entries(factTexts).flatMap(([fact, text]) =>
      checked.some(candidate => candidate === fact) ? [`  + ${text}`] : [],
    ),
    'Not checked:',
    ...unchecked.map(fact => `  - whether ${factTexts[fact]}`),
    '  - whether the model really gives this answer: a signature shows who said so, not that it',
    `    is true. ${auditText(receipt)}`,
    ...restText(receipt),
  ].map(printable)
}

function statement(receipt: Receipt): readonly string[] {
  const { counts, modelId, numericClass } = receipt
  const { promptTokens, completionTokens, reasoningTokens } = counts
  const isUpstream = receipt.tokenDigest === undefined
  const byName = isDigestId(modelId) ? '' : ' (a name only: it does not tell which weights)'
  const ofReasoning = reasoningTokens === 0 ? '' : `, ${reasoningTokens} of them reasoning`
  const tokens = `${promptTokens} of the prompt, ${completionTokens} of the completion`
  const seed = receipt.seed === undefined ? 'not told' : receipt.seed.toString()
  return [
    `Peer ${receipt.issuer}`,
    `says that it ${isUpstream ? 'got this answer from an upstream' : 'computed this answer'}`,
    `  answer    ${receipt.lookupKey} (look-up key)`,
    `  model     ${modelId}${byName}`,
    `  class     ${isUpstream ? 'upstream (the engine told no tokens)' : numericClass}`,
    `  tokens    ${tokens}${ofReasoning}`,
    ...(isUpstream ? [] : [`  prompt    ${promptText(receipt)}`]),
    `  finish    ${receipt.finishes.join(', ')}`,
    `  seed      ${seed}`,
    `  text      ${receipt.textDigest}`,
    `  token ids ${receipt.tokenDigest ?? 'none'}`,
    `  leaves    ${receipt.root ?? 'none'}`,
    `  issued    ${new Date(receipt.issuedAt).toISOString()}`,
    `  expires   ${new Date(receipt.expiresAt).toISOString()}`,
  ]
}

function uncheckedFacts(receipt: Receipt, checked: readonly ReceiptFact[]): readonly ReceiptFact[] {
  const facts: ReceiptFact[] = ['signature', 'dates', 'key', 'model', 'counts', 'finish', 'text']
  if (receipt.tokenDigest !== undefined) facts.push('tokens')
  if (receipt.root !== undefined) facts.push('leaves')
  return facts.filter(fact => !checked.includes(fact))
}

/** On what the answer was generated. */
function promptText({ unauditedTokens }: Receipt): string {
  if (unauditedTokens === 0) return 'KV state of the issuer, or of a peer and audited'
  const tokens = `${unauditedTokens} of the prompt's tokens`
  return `${tokens} rested on KV state of a peer that was not audited`
}

function restText(receipt: Receipt): readonly string[] {
  if (receipt.unauditedTokens === 0) return []
  return ['  - whether the KV state that the issuer had from its peer was that of the prompt']
}

function auditText(receipt: Receipt): string {
  if (receipt.tokenDigest === undefined) return 'Nobody can recompute an answer of an upstream.'
  if (!isDigestId(receipt.modelId)) return 'Only who has the same model could recompute it.'
  return 'Whoever has this model can recompute it (an audit).'
}

/** Model names and classes are the issuer's words: they must not steer the terminal. */
function printable(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
}
