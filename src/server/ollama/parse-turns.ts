import { z } from 'zod'
import type { Message, ToolCall } from '../../key/completion-request.ts'
import { toolArguments } from '../tool-input.ts'
import { jsonObject, maybe, oneOf, parseAt } from '../validate.ts'
import { parseImages } from './parse-images.ts'

const turnSchema = z.looseObject({
  role: oneOf(['system', 'developer', 'user', 'assistant', 'tool']),
  content: maybe(z.string()),
  thinking: maybe(z.string()),
  images: maybe(z.array(z.string())),
  tool_calls: maybe(
    z.array(
      z.looseObject({
        id: maybe(z.string()),
        function: z.looseObject({
          name: z.string(),
          arguments: maybe(z.union([jsonObject, z.string()])),
        }),
      }),
    ),
  ),
  tool_name: maybe(z.string()),
  tool_call_id: maybe(z.string()),
})
type Turn = z.infer<typeof turnSchema>

/** @throws request_invalid naming the message's field */
export function parseTurns(value: unknown): readonly Message[] {
  const links = new CallLinks()
  return parseAt(z.array(turnSchema).min(1), value, 'messages').map((turn, index) => {
    const text = turn.content ?? ''
    const images = parseImages(turn.images ?? [], `messages[${index}].images`)
    // An empty text is nothing, as in the other APIs.
    const content = [...(text === '' ? [] : [{ type: 'text', text } as const]), ...images]
    const base = { role: turn.role, content }
    if (turn.role === 'tool') return { ...base, ...links.answered(turn) }
    if (turn.role !== 'assistant') return base
    const toolCalls = links.made(turn)
    return {
      ...base,
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      ...(turn.thinking ? { reasoning: turn.thinking } : {}),
    }
  })
}

/**
 * Ollama links a result to its call by the tool's name and their order, our neutral form by an id.
 * Calls without one are numbered; the canonical form numbers all ids anyway, so the choice changes
 * no key.
 */
class CallLinks {
  readonly #open: { readonly id: string; readonly name: string }[] = []
  #callCount = 0

  made(turn: Turn): readonly ToolCall[] {
    return (turn.tool_calls ?? []).map(call => {
      const { name, arguments: input } = call.function
      const id = call.id ? call.id : `call_${this.#callCount}`
      this.#callCount += 1
      this.#open.push({ id, name })
      return { id, name, arguments: typeof input === 'string' ? input : toolArguments(input ?? {}) }
    })
  }

  answered(turn: Turn): Pick<Message, 'toolCallId' | 'name'> {
    const { tool_call_id: id, tool_name: name } = turn
    const index = this.#open.findIndex(call => {
      if (id) return call.id === id
      return name ? call.name === name : true
    })
    const [call] = index < 0 ? [] : this.#open.splice(index, 1)
    if (call !== undefined) return { toolCallId: call.id }
    // A result nobody asked for: what the client calls it is all there is.
    return { ...(id ? { toolCallId: id } : {}), ...(name ? { name } : {}) }
  }
}
