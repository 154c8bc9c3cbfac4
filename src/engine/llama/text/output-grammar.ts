import { OperationError, requestInvalid } from '../../../errors.ts'
import type { CompletionRequest, Tool } from '../../../key/completion-request.ts'
import { forcedCallsMax } from '../../../limits.ts'
import { GrammarRules, literal } from './json-schema-grammar.ts'
import { callClose, callOpen, type ToolFormat, thinkClose } from './output-parser.ts'
import { SchemaUnsupportedError } from './schema-unsupported-error.ts'

export type FunctionTool = Extract<Tool, { type: 'function' }>

export interface OutputGrammarOptions {
  readonly toolFormat: ToolFormat
  /** The prompt ends inside `<think>`: the model may think before it must obey. */
  readonly isThinking: boolean
}

/**
 * The GBNF grammar that a request forces the answer into, or undefined when the model is free.
 *
 * @throws request_invalid naming `response_format` or `tool_choice`, for what a grammar cannot hold
 */
export function outputGrammar(
  request: CompletionRequest,
  options: OutputGrammarOptions,
): string | undefined {
  const rules = new GrammarRules()
  const root = rootOf(request, rules, options)
  if (root === undefined) return undefined
  // Anything but the end of the thinking, then that end.
  const thinking = `([^<] | "<" [^/])* ${literal(thinkClose)} space `
  return rules.text(`${options.isThinking ? thinking : ''}${root}`)
}

export function functionTools(request: CompletionRequest): readonly FunctionTool[] {
  return request.tools.filter(tool => tool.type === 'function')
}

function rootOf(
  request: CompletionRequest,
  rules: GrammarRules,
  options: OutputGrammarOptions,
): string | undefined {
  const { toolChoice, responseFormat } = request
  if (toolChoice.type === 'required' || toolChoice.type === 'function') {
    return reading('tools', () => forcedCalls(request, rules, options.toolFormat))
  }
  if (responseFormat.type === 'json_object') return 'object'
  if (responseFormat.type === 'text') return undefined
  return reading('response_format', () => rules.json(responseFormat.schema))
}

function forcedCalls(request: CompletionRequest, rules: GrammarRules, format: ToolFormat): string {
  const { toolChoice } = request
  const tools = functionTools(request).filter(
    tool => toolChoice.type !== 'function' || tool.name === toolChoice.name,
  )
  if (tools.length === 0) {
    const name = toolChoice.type === 'function' ? ` named '${toolChoice.name}'` : ''
    throw requestInvalid(
      'tool_choice',
      `'tool_choice' forces a call, but no function${name} is declared`,
    )
  }
  const call = rules.add(tools.map(tool => callOf(tool, rules, format)).join(' | '))
  const isOne = toolChoice.type === 'function' || !request.parallelToolCalls
  const separator = format === 'hermes' ? literal('\n') : literal('; ')
  return isOne ? call : `${call} (${separator} ${call}){0,${forcedCallsMax - 1}}`
}

function callOf(tool: FunctionTool, rules: GrammarRules, format: ToolFormat): string {
  const argumentsRule = rules.json(tool.parameters ?? { type: 'object' })
  const name = JSON.stringify(tool.name)
  if (format === 'llama3') {
    return `${literal(`{"name": ${name}, "parameters": `)} ${argumentsRule} ${literal('}')}`
  }
  const head = literal(`${callOpen}\n{"name": ${name}, "arguments": `)
  return `${head} ${argumentsRule} ${literal(`}\n${callClose}`)}`
}

function reading(field: string, read: () => string): string {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SchemaUnsupportedError)) throw error
    const message = `The schema in '${field}' cannot be enforced: ${error.message}`
    throw new OperationError('request_invalid', message, { origin: 'client', field, cause: error })
  }
}
