import { z } from 'zod'
import type { Tool, ToolChoice } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import type { Warnings } from '../openai/parse/warnings.ts'
import {
  anyJson,
  defined,
  fieldNames,
  jsonObject,
  maybe,
  omit,
  parseAt,
  refuse,
} from '../validate.ts'
import type { Breakpoints } from './cache-control.ts'
import { cacheFields } from './parse-content.ts'

const typedTool = z.looseObject({ type: maybe(z.string()) })
const clientTool = z.looseObject({
  type: anyJson,
  name: z.string().min(1),
  description: maybe(z.string()),
  input_schema: jsonObject,
  strict: maybe(z.boolean()),
  cache_control: anyJson,
  /** Asks for arguments in smaller pieces: the same text. */
  eager_input_streaming: anyJson,
})
const clientToolFields = fieldNames(clientTool)

/** @throws request_invalid naming the tool's field */
export function parseTools(
  values: readonly JsonObject[],
  warnings: Warnings,
  breakpoints: Breakpoints,
): readonly Tool[] {
  return values.map((value, index) => {
    const path = `tools[${index}]`
    breakpoints.readTool(value, path)
    const { type } = parseAt(typedTool, value, path)
    if (typeof type === 'string' && type !== 'custom') {
      warnings.hostedTool(type)
      return { type: 'other', value: omit(value, cacheFields) }
    }
    const tool = parseAt(clientTool, value, path)
    warnings.ignoreUnknown('tools[]', value, clientToolFields)
    return {
      type: 'function',
      name: tool.name,
      parameters: tool.input_schema,
      ...defined({ description: tool.description }),
      // False is what absence means, as in the other APIs.
      ...(tool.strict === true ? { strict: true } : {}),
    }
  })
}

const choiceSchema = z.looseObject({
  type: z.string(),
  name: maybe(z.string()),
  disable_parallel_tool_use: maybe(z.boolean()),
})

/** @throws request_invalid */
export function parseToolChoice(
  value: JsonObject,
  tools: readonly Tool[],
): { readonly toolChoice: ToolChoice; readonly parallelToolCalls: boolean } {
  const choice = parseAt(choiceSchema, value, 'tool_choice')
  const parallelToolCalls = choice.disable_parallel_tool_use !== true
  switch (choice.type) {
    case 'auto':
    case 'none':
      return { toolChoice: { type: choice.type }, parallelToolCalls }
    case 'any':
      return { toolChoice: { type: 'required' }, parallelToolCalls }
    case 'tool': {
      const { name } = choice
      const isKnown = tools.some(tool => nameOf(tool) === name)
      if (typeof name !== 'string' || !isKnown) {
        return refuse('tool_choice.name', 'the name of one of the tools', name ?? undefined)
      }
      return { toolChoice: { type: 'function', name }, parallelToolCalls }
    }
    default:
      return refuse('tool_choice.type', "one of 'auto', 'any', 'tool', 'none'", choice.type)
  }
}

function nameOf(tool: Tool): unknown {
  return tool.type === 'function' ? tool.name : tool.value['name']
}
