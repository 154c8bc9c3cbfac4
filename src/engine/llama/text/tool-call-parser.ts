import { isJsonObject } from '../../../std/json.ts'

export interface ParsedCall {
  readonly name: string
  /** JSON text of an object, as the model wrote it. */
  readonly arguments: string
}

/**
 * Reads `{"name": …, "arguments": {…}}` or, as Llama 3 writes it, `"parameters"`. Undefined if it
 * is no call.
 */
export function parseToolCall(text: string): ParsedCall | undefined {
  const value = parsedJson(text)
  if (!isJsonObject(value)) return undefined
  const { name } = value
  if (typeof name !== 'string' || name === '') return undefined
  const key = 'arguments' in value ? 'arguments' : 'parameters'
  const argumentsValue = value[key]
  if (argumentsValue === undefined || argumentsValue === null) return { name, arguments: '{}' }
  if (isJsonObject(argumentsValue)) {
    return { name, arguments: memberText(text, key) ?? JSON.stringify(argumentsValue) }
  }
  // Some models write the arguments as a string that holds the JSON text.
  if (typeof argumentsValue === 'string' && isJsonObject(parsedJson(argumentsValue))) {
    return { name, arguments: argumentsValue }
  }
  return undefined
}

/**
 * Reads calls that follow each other, parted by `;` or white space. Undefined unless all of the
 * text is calls.
 */
export function parseToolCalls(text: string): readonly ParsedCall[] | undefined {
  const calls: ParsedCall[] = []
  let start = skipSeparators(text, 0)
  while (start < text.length) {
    const end = jsonObjectEnd(text, start)
    const call = end === undefined ? undefined : parseToolCall(text.slice(start, end))
    if (end === undefined || call === undefined) return undefined
    calls.push(call)
    start = skipSeparators(text, end)
  }
  return calls.length === 0 ? undefined : calls
}

/** Whether the text can be judged: it is JSON, or no JSON that more text could complete. */
export function isCompleteJson(text: string): boolean {
  const start = skipSeparators(text, 0)
  return text[start] !== '{' || jsonObjectEnd(text, start) !== undefined
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function skipSeparators(text: string, start: number): number {
  let index = start
  while (index < text.length && ' \t\r\n;'.includes(text.charAt(index))) index += 1
  return index
}

/**
 * Index after the object that begins at `start`, or undefined where none begins or it does not end.
 */
function jsonObjectEnd(text: string, start: number): number | undefined {
  if (text[start] !== '{') return undefined
  let depth = 0
  for (let index = start; index < text.length; index++) {
    const character = text[index]
    if (character === '"') index = stringEnd(text, index) - 1
    else if (character === '{' || character === '[') depth += 1
    else if (character === '}' || character === ']') depth -= 1
    if (depth === 0) return index + 1
  }
  return undefined
}

/** Index after the string that begins at `start`. */
function stringEnd(text: string, start: number): number {
  let index = start + 1
  while (index < text.length && text[index] !== '"') index += text[index] === '\\' ? 2 : 1
  return index + 1
}

/**
 * The text of an object-valued member of a well-formed object; of the last one, as JSON.parse takes
 * the last.
 */
function memberText(text: string, key: string): string | undefined {
  let found: string | undefined
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (character === '{' || character === '[') depth += 1
    if (character === '}' || character === ']') depth -= 1
    if (character !== '"') continue
    const end = stringEnd(text, index)
    const valueStart = depth === 1 ? memberValueStart(text, end) : undefined
    if (valueStart !== undefined && parsedJson(text.slice(index, end)) === key) {
      found = text.slice(valueStart, jsonObjectEnd(text, valueStart))
    }
    index = end - 1
  }
  return found
}

/** Where the value begins if the string that ended at `index` is a key. */
function memberValueStart(text: string, index: number): number | undefined {
  const colon = /\s*:\s*/y
  colon.lastIndex = index
  return colon.test(text) ? colon.lastIndex : undefined
}
