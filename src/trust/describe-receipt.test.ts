import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { modelIdFromName } from '../key/model-id.ts'
import { decodeReceipt } from '../wire/receipt.ts'
import { describeReceipt } from './describe-receipt.ts'
import { issueReceipt, verifyReceipt } from './receipt.ts'
import { answer, clock, expected, keys, signer, upstreamCompletion } from './test-answer.ts'

const bytes = issueReceipt(answer, signer, clock)

describe('describeReceipt()', () => {
  it('tells who, what and when, what was checked and what was not', () => {
    const check = verifyReceipt(bytes, expected, keys)
    assert.ok(check.outcome === 'valid')
    const text = describeReceipt(check.receipt, check.checked).join('\n')
    for (const part of [
      `Peer ${signer.peerId}\nsays that it computed this answer`,
      answer.lookupKey,
      answer.numericClass,
      '12 of the prompt, 5 of the completion, 2 of them reasoning',
      'stop, tool_calls',
      'issued    2023-11-14T22:13:20.000Z',
      '+ the text of the answer is the one that was signed',
      '- whether the leaves',
      '- whether the model really gives this answer',
      'Whoever has this model can recompute it',
    ]) {
      assert.ok(text.includes(part), `${part}\n\n${text}`)
    }
    assert.ok(!text.includes('- whether the text'))
  })

  it('says how much of the prompt rested on state of a peer', () => {
    const plain = describeReceipt(decodeReceipt(bytes).receipt, []).join('\n')
    assert.ok(plain.includes('prompt    KV state of the issuer'), plain)
    const imported = issueReceipt({ ...answer, unauditedTokens: 8 }, signer, clock)
    const text = describeReceipt(decodeReceipt(imported).receipt, []).join('\n')
    assert.ok(
      text.includes("8 of the prompt's tokens rested on KV state of a peer that was not audited"),
      text,
    )
    assert.ok(text.includes('- whether the KV state'), text)
  })

  it('claims nothing that was not checked', () => {
    const text = describeReceipt(decodeReceipt(bytes).receipt, []).join('\n')
    assert.ok(text.includes('Nothing of it was checked.'))
    assert.ok(!text.includes('  + '))
    assert.ok(text.includes('- whether the signature is of the issuer'))
  })

  it('says that an upstream cannot be audited', () => {
    const { leaves: _, seed: __, ...rest } = answer
    const completion = { ...upstreamCompletion, modelId: modelIdFromName('gpt') }
    const receipt = issueReceipt({ ...rest, completion }, signer, clock)
    const text = describeReceipt(decodeReceipt(receipt).receipt, []).join('\n')
    for (const part of ['from an upstream', 'a name only', 'Nobody can recompute', 'not told']) {
      assert.ok(text.includes(part), text)
    }
    assert.ok(!text.includes('whether the leaves'))
  })

  it('lets no name steer the terminal', () => {
    const { receipt } = decodeReceipt(bytes)
    const modelId = modelIdFromName('x\u001b[2J\n\u202eevil')
    const lines = describeReceipt({ ...receipt, modelId, numericClass: 'a\u009bb' }, [])
    assert.ok(lines.every(line => !/[\p{Cc}\p{Cf}]/u.test(line)))
  })
})
