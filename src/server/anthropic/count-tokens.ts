export { parseCountTokens } from './parse-messages.ts'

/** The body of a reply to `/v1/messages/count_tokens`. */
export function encodeTokenCount(promptTokens: number): string {
  return JSON.stringify({ input_tokens: promptTokens })
}
