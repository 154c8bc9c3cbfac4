import { Template } from '@huggingface/jinja'
import { OperationError, requestInvalid } from '../../../errors.ts'
import { type CompletionRequest, type Message, textOf } from '../../../key/completion-request.ts'
import { functionTools } from './output-grammar.ts'
import type { ReasoningMarks, ToolFormat } from './output-parser.ts'

/** Used where the file has no template: ChatML, what most small models were tuned on. */
export const chatMlTemplate: string =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}" +
  "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

export interface ChatTemplateOptions {
  readonly bosToken: string
  readonly eosToken: string
}

/** Longest complaint of a template that is passed on to the client. */
const complaintLettersMax = 200

/** The chat template of a model: Jinja text as Hugging Face defines it. */
export class ChatTemplate {
  /** Whether `developer` messages are something else than `system` ones. */
  readonly hasDeveloperRole: boolean
  /** How the model was told to write tool calls. */
  readonly toolFormat: ToolFormat
  readonly #source: string
  readonly #template: Template
  readonly #options: ChatTemplateOptions

  /** @throws model_file_invalid, when the text is no template */
  constructor(source: string, options: ChatTemplateOptions) {
    this.#source = source
    this.#options = options
    this.hasDeveloperRole = source.includes('developer')
    const isLlama3 = /<\|python_tag\|>|"parameters": dictionary/.test(source)
    this.toolFormat = isLlama3 && !source.includes('<tool_call>') ? 'llama3' : 'hermes'
    try {
      this.#template = new Template(source)
    } catch (error) {
      const message = "The model file's chat template cannot be read"
      throw new OperationError('model_file_invalid', message, { origin: 'engine', cause: error })
    }
  }

  /**
   * Messages and tools up to where the answer begins. A last message of the assistant is continued.
   *
   * @throws request_invalid with the template's own complaint; unsupported naming the part, for
   * images and others
   */
  render(request: CompletionRequest): string {
    const last = request.messages.at(-1)
    const isContinued = last?.role === 'assistant' && (last.toolCalls ?? []).length === 0
    const messages = isContinued ? request.messages.slice(0, -1) : request.messages
    const rendered = this.#run({
      ...reasoningVariables(request),
      ...request.templateArgs,
      messages: this.#messages(messages),
      tools: toolVariable(request),
      add_generation_prompt: true,
      bos_token: this.#options.bosToken,
      eos_token: this.#options.eosToken,
    })
    return isContinued ? rendered + plainText(last, `messages[${messages.length}]`) : rendered
  }

  /** What the answer to a rendered prompt may begin with. */
  reasoningAfter(prompt: string): ReasoningMarks {
    if (prompt.trimEnd().endsWith('<think>')) return 'open'
    return /<\/?think>/.test(this.#source) ? 'possible' : 'none'
  }

  #run(variables: Record<string, unknown>): string {
    try {
      return this.#template.render(variables)
    } catch (error) {
      const complaint = error instanceof Error ? error.message.slice(0, complaintLettersMax) : ''
      const message = `The model's chat template cannot render these messages: ${complaint}`
      throw new OperationError('request_invalid', message, {
        origin: 'client',
        field: 'messages',
        cause: error,
      })
    }
  }

  #messages(messages: readonly Message[]): readonly Record<string, unknown>[] {
    const toolNames = new Map<string, string>()
    return messages.map((message, index) => {
      for (const call of message.toolCalls ?? []) toolNames.set(call.id, call.name)
      const name = message.name ?? toolNames.get(message.toolCallId ?? '')
      return {
        role: message.role === 'developer' && !this.hasDeveloperRole ? 'system' : message.role,
        content: plainText(message, `messages[${index}]`),
        ...(name === undefined ? {} : { name }),
        ...(message.toolCallId === undefined ? {} : { tool_call_id: message.toolCallId }),
        ...(message.reasoning === undefined ? {} : { reasoning_content: message.reasoning }),
        ...toolCallVariables(message),
      }
    })
  }
}

function plainText(message: Message, path: string): string {
  const index = message.content.findIndex(part => part.type !== 'text')
  if (index === -1) return textOf(message.content)
  const field = `${path}.content[${index}]`
  const kind = message.content[index]?.type === 'image' ? 'an image' : 'no text'
  throw new OperationError(
    'unsupported',
    `'${field}' is ${kind}, and the embedded engine reads text only`,
    { origin: 'client', field },
  )
}

function toolCallVariables(message: Message): Record<string, unknown> {
  const calls = message.toolCalls ?? []
  if (calls.length === 0) return {}
  return {
    tool_calls: calls.map(call => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: parsedArguments(call.arguments) },
    })),
  }
}

/** Templates expect an object; what is no JSON is passed as the text it is. */
function parsedArguments(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * Null rather than absent when there are none: templates ask `tools is not none`, as Hugging Face
 * passes it.
 */
function toolVariable(request: CompletionRequest): readonly unknown[] | null {
  const tools = request.toolChoice.type === 'none' ? [] : functionTools(request)
  if (tools.length === 0) return null
  return tools.map(({ name, description, parameters }) => ({
    type: 'function',
    function: {
      name,
      description: description ?? '',
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  }))
}

function reasoningVariables(request: CompletionRequest): Record<string, unknown> {
  const { enabled, effort } = request.reasoning
  return {
    ...(enabled === undefined ? {} : { enable_thinking: enabled }),
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
  }
}

/** @throws request_invalid, when there is nothing to answer */
export function assertMessages(request: CompletionRequest): void {
  if (request.messages.length > 0) return
  throw requestInvalid('messages', "'messages' must hold at least one message")
}
