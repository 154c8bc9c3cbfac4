/** One question in the form of each API that answers it: the same canonical request. */
export const chatPath = '/v1/chat/completions'
export const messagesPath = '/v1/messages'
export const responsesPath = '/v1/responses'

/** Longer than any answer of the models here, and the same for an API that wants a limit. */
const maxTokens = 400

export function chat(text: string, model = 'fake'): object {
  return { model, messages: [{ role: 'user', content: text }] }
}

export function messages(text: string, model = 'fake'): object {
  return { model, messages: [{ role: 'user', content: text }], max_tokens: maxTokens }
}

export function responses(text: string, model = 'fake'): object {
  return { model, input: text }
}
