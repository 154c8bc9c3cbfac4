import { z } from 'zod'
import { emptyRequest } from '../../key/completion-request.ts'
import type { JsonObject } from '../../std/json.ts'
import { parseTools } from '../openai/parse/tools.ts'
import { Warnings } from '../openai/parse/warnings.ts'
import { jsonObject, maybe, parseAt } from '../validate.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { encodersOf } from './encode.ts'
import { parseCommon } from './parse-options.ts'
import { parseTurns } from './parse-turns.ts'

const toolsSchema = maybe(z.array(jsonObject))
const chatFields: ReadonlySet<string> = new Set(['messages', 'tools'])

/** Ollama's `/api/chat`. */
export const ollamaChat: WireFormat = {
  api: 'ollama_chat',
  parse: parseChat,
  ...encodersOf(({ text, thinking, toolCalls }) => ({
    message: {
      role: 'assistant',
      content: text,
      ...(thinking === '' ? {} : { thinking }),
      ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
    },
  })),
}

function parseChat(body: JsonObject): ParsedRequest {
  const { request, stream } = parseCommon(body, chatFields)
  const values = parseAt(toolsSchema, body['tools'], 'tools') ?? []
  const warnings = new Warnings()
  const tools = parseTools(values, 'nested', warnings)
  const messages = parseTurns(body['messages'])
  return {
    request: { ...emptyRequest, ...request, kind: 'chat', messages, tools },
    stream,
    variant: '',
    warnings: warnings.list(),
  }
}
