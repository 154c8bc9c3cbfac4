import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type CompletionRequest,
  emptyRequest,
  type Message,
} from '../../../key/completion-request.ts'
import { ChatTemplate, chatMlTemplate } from './chat-template.ts'

const options = { bosToken: '<s>', eosToken: '</s>' }
const user = (text: string): Message => ({ role: 'user', content: [{ type: 'text', text }] })
const request = (fields: Partial<CompletionRequest>): CompletionRequest => ({
  ...emptyRequest,
  kind: 'chat',
  model: 'm',
  messages: [user('Hi')],
  unknown: { api: 'openai', fields: {} },
  ...fields,
})
const render = (source: string, fields: Partial<CompletionRequest> = {}): string =>
  new ChatTemplate(source, options).render(request(fields))
const weather = { type: 'function', name: 'weather', parameters: { type: 'object' } } as const
const conversation: readonly Message[] = [
  user('Weather?'),
  {
    role: 'assistant',
    content: [],
    reasoning: 'Ask.',
    toolCalls: [{ id: 'c1', name: 'weather', arguments: '{"city": "Rome"}' }],
  },
  { role: 'tool', content: [{ type: 'text', text: 'Sun' }], toolCallId: 'c1' },
]

describe('ChatTemplate', () => {
  it('renders ChatML where the file has no template', () => {
    assert.equal(render(chatMlTemplate), '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n')
  })

  it('gives templates the marks, tools in OpenAI form and the arguments of the client', () => {
    const source =
      '{{ bos_token }}{{ tools | tojson }}' +
      '{{ messages[0].content }} {{ color }} {{ enable_thinking }}'
    const text = render(source, {
      tools: [weather],
      templateArgs: { color: 'blue', messages: 'mine' },
      reasoning: { enabled: false },
    })
    assert.equal(
      text,
      '<s>[{"type": "function", "function": {"name": "weather", "description": "", ' +
        '"parameters": {"type": "object"}}}]Hi blue false',
    )
  })

  it('leaves tools out when none may be called', () => {
    const source = '{% if tools is not none %}tools{% else %}none{% endif %}'
    assert.equal(render(source, { tools: [weather] }), 'tools')
    assert.equal(render(source, { tools: [weather], toolChoice: { type: 'none' } }), 'none')
  })

  it('renders calls with parsed arguments, and results with the name of their call', () => {
    const source =
      '{% for m in messages %}[{{ m.role }}|{{ m.name }}|' +
      '{{ m.content }}|{{ m.reasoning_content }}|' +
      '{% if m.tool_calls %}{% for c in m.tool_calls %}' +
      '{{ c.function.name }}:{{ c.function.arguments.city }}' +
      '{% endfor %}{% endif %}]{% endfor %}'
    assert.equal(
      render(source, { messages: conversation }),
      '[user||Weather?||][assistant|||Ask.|weather:Rome][tool|weather|Sun||]',
    )
  })

  it('continues a last message of the assistant', () => {
    const prefill: Message = {
      role: 'assistant',
      content: [{ type: 'text', text: 'The answer is' }],
    }
    assert.ok(
      render(chatMlTemplate, { messages: [user('Hi'), prefill] }).endsWith(
        'assistant\nThe answer is',
      ),
    )
  })

  it('takes developer messages as system ones unless the template knows them', () => {
    const messages = [{ ...user('Be brief'), role: 'developer' }] as const
    assert.match(render(chatMlTemplate, { messages }), /^<\|im_start\|>system\n/)
    const source = "{% if messages[0].role == 'developer' %}yes{% endif %}"
    assert.equal(render(source, { messages }), 'yes')
    assert.equal(new ChatTemplate(source, options).hasDeveloperRole, true)
  })

  it("passes on the template's complaint", () => {
    const source = "{{ raise_exception('Roles must alternate') }}"
    assert.throws(() => render(source), {
      code: 'request_invalid',
      field: 'messages',
      message: /Roles must alternate$/,
    })
  })

  it('refuses images and names them', () => {
    const messages: Message[] = [
      user('a'),
      {
        role: 'user',
        content: [
          { type: 'text', text: 'b' },
          { type: 'image', url: 'data:' },
        ],
      },
    ]
    assert.throws(() => render(chatMlTemplate, { messages }), {
      code: 'unsupported',
      field: 'messages[1].content[1]',
    })
  })

  it('says in one line when the file has a broken template', () => {
    assert.throws(() => new ChatTemplate('{% if %}', options), { code: 'model_file_invalid' })
  })

  it('sees how tool calls and reasoning are written', () => {
    const qwen = new ChatTemplate("<tool_call>{{ '<think>' }}", options)
    const llama = new ChatTemplate("{{ '<|python_tag|>' }}", options)
    assert.deepEqual([qwen.toolFormat, llama.toolFormat], ['hermes', 'llama3'])
    assert.equal(qwen.reasoningAfter('assistant\n<think>\n'), 'open')
    assert.equal(qwen.reasoningAfter('assistant\n'), 'possible')
    assert.equal(llama.reasoningAfter('assistant\n'), 'none')
  })
})
