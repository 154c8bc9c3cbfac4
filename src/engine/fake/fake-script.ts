import { OperationError } from '../../errors.ts'
import type { TextKind } from '../../interface/generation.ts'
import {
  type CompletionRequest,
  type Message,
  type Tool,
  textOf,
} from '../../key/completion-request.ts'
import type { Json, JsonObject } from '../../std/json.ts'
import { isJsonObject } from '../../std/json.ts'
import { hashOf } from './fake-language.ts'

/**
 * What a choice is made of, in order. `reply` stands for the text that the language model gives.
 */
export type ScriptPart =
  | { readonly type: TextKind; readonly text: string }
  | { readonly type: 'reply' }
  | { readonly type: 'tool-call'; readonly name: string; readonly arguments: string }
  | { readonly type: 'error'; readonly error: OperationError }

/** Decides the parts of a choice; undefined: as the built-in script would. */
export type Script = (
  request: CompletionRequest,
  choice: number,
) => readonly ScriptPart[] | undefined

const scriptDepthMax = 8

/**
 * The built-in script:
 * - reasoning comes first when it is asked for, or the last message of the client holds `/think`;
 * - tools are called when the choice forces one, or the last message is the client's and holds a
 * tool's name;
 * - `response_format` is answered by a minimal instance of the schema;
 * - `/refuse` is refused, `/fail` fails before, `/fail-late` after some text;
 * - everything else gets the language model's reply.
 */
export function scriptOf(request: CompletionRequest): readonly ScriptPart[] {
  const asked = lastUserText(request.messages)
  const answer = answerParts(request, asked)
  if (!wantsReasoning(request, asked)) return answer
  return [{ type: 'reasoning', text: 'The client asked, so let me think.' }, ...answer]
}

function answerParts(request: CompletionRequest, asked: string): readonly ScriptPart[] {
  if (asked.startsWith('/refuse')) return [{ type: 'refusal', text: 'I cannot help with that.' }]
  if (asked.startsWith('/fail-late')) return [{ type: 'text', text: 'I was abou' }, failure()]
  if (asked.startsWith('/fail')) return [failure()]
  const calls = calledTools(request, asked)
  if (calls.length > 0) return calls
  if (request.responseFormat.type === 'json_object') {
    return [{ type: 'text', text: JSON.stringify({ answer: hashOf(asked) % 100 }) }]
  }
  if (request.responseFormat.type === 'json_schema') {
    const instance = instanceOf(request.responseFormat.schema, scriptDepthMax)
    return [{ type: 'text', text: JSON.stringify(instance) }]
  }
  return [{ type: 'reply' }]
}

function failure(): ScriptPart {
  const error = new OperationError('engine_failed', 'The fake engine was told to fail', {
    origin: 'engine',
  })
  return { type: 'error', error }
}

function wantsReasoning(request: CompletionRequest, asked: string): boolean {
  const { enabled, effort, budgetTokens } = request.reasoning
  if (enabled !== undefined) return enabled
  if (effort !== undefined) return effort !== 'none'
  return budgetTokens !== undefined || asked.includes('/think')
}

function calledTools(request: CompletionRequest, asked: string): readonly ScriptPart[] {
  const tools = request.tools.filter(tool => tool.type === 'function')
  const choice = request.toolChoice
  if (choice.type === 'none') return []
  const named = tools.filter(tool =>
    choice.type === 'function' ? tool.name === choice.name : asked.includes(tool.name),
  )
  const called = named.length === 0 && choice.type === 'required' ? tools.slice(0, 1) : named
  return called.slice(0, request.parallelToolCalls ? called.length : 1).map(callOf)
}

function callOf(tool: Extract<Tool, { type: 'function' }>): ScriptPart {
  const instance = instanceOf(tool.parameters ?? {}, scriptDepthMax)
  return { type: 'tool-call', name: tool.name, arguments: JSON.stringify(instance) }
}

/**
 * The text of the last message, when it is the client's: an answer to a tool result calls no tool
 * again.
 */
function lastUserText(messages: readonly Message[]): string {
  const last = messages.at(-1)
  return last?.role === 'user' ? textOf(last.content) : ''
}

/** A small value that fits the common part of JSON schema. */
export function instanceOf(schema: Json, depthLeft: number): Json {
  if (!isJsonObject(schema) || depthLeft === 0) return {}
  if (schema['const'] !== undefined) return schema['const']
  const first = firstOf(schema['enum'])
  if (first !== undefined) return first
  const variant = firstOf(schema['anyOf']) ?? firstOf(schema['oneOf'])
  if (variant !== undefined) return instanceOf(variant, depthLeft - 1)
  const type = firstOf(schema['type']) ?? schema['type'] ?? 'object'
  if (type === 'string') return 'text'
  if (type === 'integer' || type === 'number') return schema['minimum'] ?? 1
  if (type === 'boolean') return true
  if (type === 'null') return null
  if (type === 'array') return [instanceOf(schema['items'] ?? {}, depthLeft - 1)]
  return objectOf(schema, depthLeft)
}

function objectOf(schema: JsonObject, depthLeft: number): JsonObject {
  const properties = schema['properties']
  if (!isJsonObject(properties)) return {}
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, instanceOf(value, depthLeft - 1)]),
  )
}

function firstOf(value: Json | undefined): Json | undefined {
  return Array.isArray(value) ? value[0] : undefined
}
