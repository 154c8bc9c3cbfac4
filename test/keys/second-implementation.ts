import { createHash, createHmac } from 'node:crypto'

/**
 * A second implementation of spec/keys.md, written from the text and sharing no code with
 * `src/key`: the vectors are computed by both. It has its own RFC 8785 writer and takes the neutral
 * request as plain JSON.
 */

type Plain = null | boolean | number | string | Plain[] | { [name: string]: Plain | undefined }
type Fields = { [name: string]: Plain | undefined }

export interface SecondKeys {
  readonly canonical: string
  readonly responseKey: string
  readonly lookupKey: string
  readonly limitedKey: string
  readonly seed: string
}

export function secondKeys(
  request: Fields,
  salt: Uint8Array,
  modelId: string,
  sample: number,
): SecondKeys {
  const canonical = jcs(secondCanonical(request, modelId, sample))
  const key = sha(['hyperspace/response/1', salt, canonical])
  const limit = Buffer.from([16, 0, 0, 0])
  return {
    canonical,
    responseKey: key.toString('hex'),
    lookupKey: sha(['hyperspace/lookup/1', key]).toString('hex'),
    limitedKey: sha(['hyperspace/limited/1', key, limit]).toString('hex'),
    seed: littleEndian(sha(['hyperspace/seed/1', key]).subarray(0, 8)),
  }
}

export function secondLocalSalt(nodeSecret: Uint8Array, apiKey: string): Uint8Array {
  const mac = createHmac('sha256', nodeSecret)
  mac.update(Buffer.from(`hyperspace/scope/local/1${apiKey}`, 'utf8'))
  return mac.digest()
}

function secondCanonical(request: Fields, modelId: string, sample: number): Fields {
  const tools = list(request['tools'])
  const out: Fields = { v: 1, kind: request['kind'], model: modelId, sample }
  if (request['kind'] === 'chat')
    out['messages'] = list(request['messages']).map(secondMessage(new Map()))
  else {
    out['prompt'] = request['prompt'] ?? ''
    out['suffix'] = request['suffix'] ?? null
  }
  out['tools'] = tools.map(tool => {
    const { type, name, description, parameters, strict, value } = record(tool)
    if (type === 'other') return { type, value }
    return {
      type,
      name,
      description: description ?? '',
      parameters: parameters ?? {},
      strict: strict ?? false,
    }
  })
  const choice = record(request['toolChoice'])
  out['tool_choice'] =
    tools.length === 0
      ? 'none'
      : choice['type'] === 'function'
        ? { function: choice['name'] }
        : choice['type']
  out['parallel_tool_calls'] = tools.length === 0 ? true : request['parallelToolCalls']
  const format = record(request['responseFormat'])
  out['response_format'] =
    format['type'] === 'json_schema'
      ? {
          type: 'json_schema',
          name: format['name'] ?? '',
          schema: format['schema'],
          strict: format['strict'] ?? false,
        }
      : { type: format['type'] }
  const sampling = record(request['sampling'])
  out['sampling'] = {
    temperature: sampling['temperature'] ?? 1,
    top_p: sampling['topP'] ?? 1,
    top_k: sampling['topK'] ?? null,
    min_p: sampling['minP'] ?? null,
    frequency_penalty: sampling['frequencyPenalty'] ?? 0,
    presence_penalty: sampling['presencePenalty'] ?? 0,
    repetition_penalty: sampling['repetitionPenalty'] ?? null,
    logit_bias: sampling['logitBias'] ?? {},
  }
  out['seed'] = request['seed'] ?? null
  out['stop'] = request['stop']
  out['n'] = request['choiceCount']
  out['top_logprobs'] = request['topLogprobs'] ?? null
  const reasoning = record(request['reasoning'])
  out['reasoning'] = {
    enabled: reasoning['enabled'] ?? null,
    effort: reasoning['effort'] ?? null,
    budget_tokens: reasoning['budgetTokens'] ?? null,
    other: reasoning['other'] ?? {},
  }
  out['template_args'] = request['templateArgs']
  const unknown = record(request['unknown'])
  if (Object.keys(record(unknown['fields'])).length > 0) out['unknown'] = unknown
  return out
}

function secondMessage(ids: Map<string, number>): (message: Plain) => Plain {
  const number = (id: Plain | undefined): string => {
    const text = String(id)
    if (!ids.has(text)) ids.set(text, ids.size)
    return String(ids.get(text))
  }
  return message => {
    const { role, content, name, toolCalls, toolCallId, reasoning } = record(message)
    const out: Fields = {
      role: role === 'developer' ? 'system' : role,
      content: secondContent(list(content)),
    }
    if (name !== undefined) out['name'] = name
    if (list(toolCalls).length > 0) {
      out['tool_calls'] = list(toolCalls).map(call => {
        const fields = record(call)
        const id = number(fields['id'])
        return { id, name: fields['name'], arguments: secondArguments(fields['arguments']) }
      })
    }
    if (toolCallId !== undefined) out['tool_call_id'] = number(toolCallId)
    if (reasoning !== undefined) out['reasoning'] = reasoning
    return out
  }
}

function secondArguments(text: Plain | undefined): Plain | undefined {
  if (typeof text !== 'string' || !/^\s*\{/.test(text)) return text
  try {
    return jcs(JSON.parse(text))
  } catch {
    return text
  }
}

function secondContent(parts: Plain[]): Plain {
  if (parts.length === 0) return ''
  const first = record(parts[0])
  if (parts.length === 1 && first['type'] === 'text') return first['text'] ?? ''
  return parts.map(part => {
    const { type, text, url, detail, value } = record(part)
    if (type === 'text') return { type, text }
    return type === 'image' ? { type, url, detail: detail ?? 'auto' } : { type, value }
  })
}

/** RFC 8785 §3.2: property names in UTF-16 order, strings and numbers as ECMAScript writes them. */
function jcs(value: Plain | undefined): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(jcs).join(',')}]`
  const names = Object.keys(value).filter(name => value[name] !== undefined)
  names.sort((a, b) => (a < b ? -1 : 1))
  return `{${names.map(name => `${JSON.stringify(name)}:${jcs(value[name])}`).join(',')}}`
}

function sha(parts: readonly (string | Uint8Array)[]): Buffer {
  return createHash('sha256')
    .update(Buffer.concat(parts.map(part => Buffer.from(part))))
    .digest()
}

function littleEndian(bytes: Uint8Array): string {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n).toString()
}

function record(value: Plain | undefined): Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}
}

function list(value: Plain | undefined): Plain[] {
  return Array.isArray(value) ? value : []
}
