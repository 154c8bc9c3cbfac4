import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { chat } from '../../test/support/test-llama.ts'
import type { PromptTokens } from '../interface/engine.ts'
import type { CacheMark, CompletionRequest, Message, Tool } from '../key/completion-request.ts'
import { PromptBuilder } from './llama/prompt.ts'
import { ChatTemplate, chatMlTemplate } from './llama/text/chat-template.ts'
import { measurePrompt, type TokensOf } from './prompt-marks.ts'

/** One token per letter: counts are places in the text. */
const vocabulary = {
  size: 0x10_ffff,
  firstToken: undefined,
  infill: undefined,
  controlTexts: ['<|im_start|>', '<|im_end|>'],
  tokenize: (text: string) => Array.from(text, letter => letter.codePointAt(0) ?? 0),
}
const builderOf = (template: string): PromptBuilder =>
  new PromptBuilder(vocabulary, new ChatTemplate(template, { bosToken: '', eosToken: '' }))
const toolList =
  "{% if tools %}[{% for tool in tools %}{{ tool['function']['name'] }};{% endfor %}]{% endif %}"
const toolsFirst = builderOf(toolList + chatMlTemplate)
/** As in Qwen's: behind the system text, in its message. */
const toolsBehind = builderOf(
  "{% if messages[0]['role'] == 'system' %}{{ '<system>' + messages[0]['content'] }}{% endif %}" +
    toolList +
    "{% for message in messages %}{% if message['role'] != 'system' %}" +
    "{{ '<' + message['role'] + '>' + message['content'] }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}",
)
/** Refuses to render without a question. */
const strict = builderOf(
  "{% if messages[0]['role'] == 'system' and messages | length == 1 %}" +
    "{{ raise_exception('no question') }}{% endif %}" +
    chatMlTemplate,
)

const said = (role: Message['role'], ...texts: string[]): Message => ({
  role,
  content: texts.map(text => ({ type: 'text', text })),
})
const tool = (name: string): Tool => ({ type: 'function', name })
const tokensOf =
  (builder: PromptBuilder): TokensOf =>
  async request =>
    builder.build(request).tokenIds
const measured = async (
  builder: PromptBuilder,
  messages: readonly Message[],
  fields: Partial<CompletionRequest> & { marks?: readonly CacheMark[] } = {},
): Promise<PromptTokens & { head: string; marked: string[] }> => {
  const { marks = [], ...others } = fields
  const request = chat('', { messages, ...others, cache: { isMarked: true, marks } })
  const prompt = await measurePrompt(tokensOf(builder), request)
  assert.deepEqual(prompt.tokenIds, builder.build(request).tokenIds)
  const textOf = (count: number): string => String.fromCodePoint(...prompt.tokenIds.slice(0, count))
  return { ...prompt, head: textOf(prompt.headTokens), marked: prompt.markTokens.map(textOf) }
}

describe('measurePrompt()', () => {
  const conversation = [
    said('system', 'Be kind.'),
    said('user', 'Apples?'),
    said('assistant', 'Yes.'),
    said('user', 'Bananas?'),
  ]
  const head = '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n'

  it('tells where system text and tools end', async () => {
    assert.equal((await measured(toolsFirst, conversation)).head, head)
    const tools = [tool('a'), tool('b')]
    assert.equal((await measured(toolsFirst, conversation, { tools })).head, `[a;b;]${head}`)
    assert.equal(
      (await measured(toolsBehind, conversation, { tools })).head,
      '<system>Be kind.[a;b;]<user>',
    )
    assert.equal(
      (await measured(toolsFirst, conversation.slice(1), { tools })).head,
      '[a;b;]<|im_start|>user\n',
    )
  })

  it('tells no head where there is neither, nor for a text', async () => {
    assert.equal((await measured(toolsFirst, conversation.slice(1))).headTokens, 0)
    const text = chat('', { kind: 'text', messages: [], prompt: 'Once', tools: [tool('a')] })
    const cache = { isMarked: true, marks: [{ after: 'tools' }] } as const
    const { headTokens, markTokens } = await measurePrompt(tokensOf(toolsFirst), { ...text, cache })
    assert.deepEqual([headTokens, markTokens], [0, [0]])
  })

  it('is not misled by a question that begins as the one it is compared with', async () => {
    for (const question of ['A', 'B', 'Ab', ' A', '']) {
      assert.equal(
        (await measured(toolsFirst, [said('system', 'S'), said('user', question)])).head.trimEnd(),
        '<|im_start|>system\nS<|im_end|>\n<|im_start|>user',
      )
    }
  })

  it('tells where marked messages and parts end', async () => {
    const messages = [
      said('system', 'One.', 'Two.'),
      said('user', 'Apples?', 'Pears?'),
      said('assistant', 'Yes.'),
      said('user', 'Bananas?'),
    ]
    const marks: CacheMark[] = [
      { after: 'message', message: 0, part: 0 },
      { after: 'message', message: 0, part: 1 },
      { after: 'message', message: 0 },
      { after: 'message', message: 1, part: 0 },
      { after: 'message', message: 1 },
      { after: 'message', message: 2 },
      { after: 'message', message: 3 },
    ]
    const system = '<|im_start|>system\nOne.\nTwo.<|im_end|>\n<|im_start|>user\n'
    const { marked, tokenIds } = await measured(toolsFirst, messages, { marks })
    assert.deepEqual(marked, [
      '<|im_start|>system\nOne.',
      system,
      system,
      `${system}Apples?`,
      `${system}Apples?\nPears?<|im_end|>\n<|im_start|>assistant\n`,
      `${system}Apples?\nPears?<|im_end|>\n<|im_start|>assistant\nYes.`,
      String.fromCodePoint(...tokenIds),
    ])
  })

  it('tells where tools end, whatever side of the system text they are on', async () => {
    const fields = { tools: [tool('a'), tool('b')], marks: [{ after: 'tools' }] as const }
    assert.deepEqual((await measured(toolsFirst, conversation, fields)).marked, [
      '[a;b;]<|im_start|>system\n',
    ])
    const [behind] = (await measured(toolsBehind, conversation, fields)).marked
    assert.equal(behind, '<system>Be kind.[a;b;]<user>')
    assert.deepEqual(
      (await measured(toolsFirst, conversation, { ...fields, tools: [] })).markTokens,
      [0],
    )
  })

  it('tells 0 for what is not there, and where the template refuses', async () => {
    const marks: CacheMark[] = [
      { after: 'message', message: 9 },
      { after: 'message', message: 1, part: 4 },
      { after: 'message', message: 0 },
    ]
    assert.deepEqual(
      (await measured(toolsFirst, conversation, { marks })).markTokens.slice(0, 2),
      [0, 0],
    )
    // It would refuse the system text alone, so a question is put behind it.
    assert.deepEqual((await measured(strict, conversation, { marks })).marked, ['', '', head])
  })

  it('looks for a bounded number of marks, the last ones', async () => {
    const marks: CacheMark[] = Array.from({ length: 20 }, () => ({ after: 'message', message: 1 }))
    const { markTokens } = await measured(toolsFirst, conversation, { marks })
    assert.equal(markTokens.length, 20)
    assert.deepEqual(
      markTokens.map(count => count > 0),
      [...Array(12).fill(false), ...Array(8).fill(true)],
    )
  })
})
