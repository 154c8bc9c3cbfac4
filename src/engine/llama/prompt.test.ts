import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { chat } from '../../../test/support/test-llama.ts'
import { PromptBuilder } from './prompt.ts'
import { ChatTemplate, chatMlTemplate } from './text/chat-template.ts'

describe('PromptBuilder', () => {
  it('tokenizes a prompt once, though it is planned first and run later', () => {
    const tokenized: string[] = []
    const vocabulary = {
      size: 0x10_ffff,
      firstToken: undefined,
      infill: undefined,
      controlTexts: ['<|im_start|>'],
      tokenize(text: string): readonly number[] {
        tokenized.push(text)
        return Array.from(text, letter => letter.codePointAt(0) ?? 0)
      },
    }
    const template = new ChatTemplate(chatMlTemplate, { bosToken: '', eosToken: '' })
    const builder = new PromptBuilder(vocabulary, template)
    const planned = builder.build(chat('What is 1 + 1?'))
    assert.equal(tokenized.length, 1)
    assert.deepEqual(builder.build(chat('What is 1 + 1?')), planned)
    assert.equal(tokenized.length, 1)
    const other = builder.build(chat('What is 1 + 2?'))
    assert.equal(tokenized.length, 2)
    assert.notDeepEqual(other, planned)
    assert.equal(String.fromCodePoint(...planned.tokenIds), tokenized[0])
  })
})
