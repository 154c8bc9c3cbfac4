import { z } from 'zod'
import { requestInvalid } from '../../../errors.ts'
import type { Tool, ToolChoice } from '../../../key/completion-request.ts'
import type { JsonObject } from '../../../std/json.ts'
import {
  anyJson,
  defined,
  fieldNames,
  jsonObject,
  maybe,
  oneOf,
  parseAt,
  refuse,
} from '../../validate.ts'
import type { Breakpoints } from './cache-hints.ts'
import { unsupported, withoutCacheMarks } from './fields.ts'
import type { Warnings } from './warnings.ts'

export interface ToolSettings {
  readonly tools: readonly Tool[]
  readonly toolChoice: ToolChoice
}

/**
 * Where the two APIs differ: chat/completions nests a function's fields under `function`, responses
 * does not.
 */
export type ToolForm = 'nested' | 'flat'

const typedTool = z.looseObject({ type: maybe(z.string()) })
const functionFields = {
  name: z.string().min(1),
  description: maybe(z.string()),
  parameters: maybe(jsonObject),
  strict: maybe(z.boolean()),
  cache_control: anyJson,
  prompt_cache_breakpoint: anyJson,
}
const functionSchema = z.looseObject(functionFields)
const functionNames = fieldNames(functionSchema)
const nestedTool = z.looseObject({
  type: anyJson,
  function: jsonObject,
  cache_control: anyJson,
  prompt_cache_breakpoint: anyJson,
})
const nestedNames = fieldNames(nestedTool)
const flatNames = fieldNames(z.looseObject({ ...functionFields, type: anyJson }))

/** @throws request_invalid naming the tool's field */
export function parseTools(
  values: readonly JsonObject[],
  form: ToolForm,
  warnings: Warnings,
  breakpoints?: Breakpoints,
): readonly Tool[] {
  return values.map((value, index) => {
    const path = `tools[${index}]`
    breakpoints?.readTool(value, path)
    const { type } = parseAt(typedTool, value, path)
    if (type !== 'function' && typeof type === 'string') {
      warnings.hostedTool(type)
      return { type: 'other', value: withoutCacheMarks(value) }
    }
    if (form === 'flat') {
      warnings.ignoreUnknown('tools[]', value, flatNames)
      return functionTool(value, path)
    }
    const nested = parseAt(nestedTool, value, path).function
    warnings.ignoreUnknown('tools[]', value, nestedNames)
    warnings.ignoreUnknown('tools[].function', nested, functionNames)
    breakpoints?.readTool(nested, `${path}.function`)
    return functionTool(nested, `${path}.function`)
  })
}

/**
 * A function as a tool, from any of its three places (`tools[].function`, flat tools, legacy
 * `functions[]`).
 */
export function functionTool(value: JsonObject, path: string): Tool {
  const { name, description, parameters, strict } = parseAt(functionSchema, value, path)
  return {
    type: 'function',
    name,
    ...defined({ description, parameters }),
    // False is what absence means; responses clients write it out, chat ones do not.
    ...(strict === true ? { strict } : {}),
  }
}

const choiceModes = ['auto', 'none', 'required'] as const
const choiceSchema = z.union([oneOf(choiceModes), jsonObject])
const typedChoice = z.looseObject({ type: z.string() })
const namedChoice = z.looseObject({ name: z.string() })
const allowedTools = z.looseObject({
  mode: oneOf(['auto', 'required']),
  tools: z.array(jsonObject).min(1),
})

/**
 * What the model may or must call.
 * @throws request_invalid, and unsupported for tools that only OpenAI runs
 */
export function parseToolChoice(
  value: unknown,
  tools: readonly Tool[],
  form: ToolForm,
): ToolSettings {
  if (value === undefined || value === null) return { tools, toolChoice: { type: 'auto' } }
  const choice = parseAt(choiceSchema, value, 'tool_choice')
  if (typeof choice === 'string') {
    if (choice === 'required' && tools.length === 0) {
      throw requestInvalid('tool_choice', "'tool_choice' must not be 'required' without 'tools'")
    }
    return { tools, toolChoice: { type: choice } }
  }
  const { type } = parseAt(typedChoice, choice, 'tool_choice')
  if (type === 'function') {
    const name = choiceName(choice, 'tool_choice', form)
    findFunction(name, tools, form === 'flat' ? 'tool_choice.name' : 'tool_choice.function.name')
    return { tools, toolChoice: { type: 'function', name } }
  }
  if (type === 'allowed_tools') return allowedChoice(choice, tools, form)
  throw unsupported(
    'tool_choice',
    "'tool_choice' names a kind of tool that cannot run here. Use 'auto', 'none', 'required', " +
      "or an object of type 'function' or 'allowed_tools'",
  )
}

function choiceName(choice: JsonObject, path: string, form: ToolForm): string {
  if (form === 'flat') return parseAt(namedChoice, choice, path).name
  const nested = parseAt(z.looseObject({ function: jsonObject }), choice, path).function
  return parseAt(namedChoice, nested, `${path}.function`).name
}

function findFunction(name: string, tools: readonly Tool[], path: string): Tool {
  const tool = tools.find(candidate => candidate.type === 'function' && candidate.name === name)
  return tool ?? refuse(path, "the name of a function in 'tools'", name)
}

/** The model is shown only the allowed tools: no template can show one and forbid it. */
function allowedChoice(choice: JsonObject, tools: readonly Tool[], form: ToolForm): ToolSettings {
  const path = form === 'flat' ? 'tool_choice' : 'tool_choice.allowed_tools'
  const fields = form === 'flat' ? choice : choice['allowed_tools']
  const allowed = parseAt(allowedTools, fields, path)
  const kept = allowed.tools.map((entry, index) => {
    const at = `${path}.tools[${index}]`
    return findFunction(choiceName(entry, at, form), tools, at)
  })
  return {
    tools: tools.filter(tool => kept.includes(tool)),
    toolChoice: { type: allowed.mode },
  }
}
