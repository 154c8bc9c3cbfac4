import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import { isJsonObject, type JsonObject } from '../../src/std/json.ts'
import { modelList, startTestUpstream, type TestUpstream } from './test-upstream.ts'

/**
 * What the bulk upstream says to a question: always the same, another for each question, and
 * nothing that can be compressed much.
 */
export function bulkAnswer(question: string, answerBytes: number): string {
  const outputLength = Math.ceil(answerBytes * 0.75)
  return createHash('shake256', { outputLength }).update(question).digest('base64')
}

/** An upstream with a model `bulk` whose answers are large and cost nothing. */
export async function startBulkUpstream(
  test: TestContext,
  options: { readonly answerBytes: number },
): Promise<TestUpstream> {
  const upstream = await startTestUpstream({
    'GET /v1/models': modelList('bulk'),
    'POST /v1/chat/completions': ({ body, events, response }) => {
      const text = bulkAnswer(questionOf(body), options.answerBytes)
      const half = Math.floor(text.length / 2)
      events(
        { id: 'bulk', choices: [{ index: 0, delta: { content: text.slice(0, half) } }] },
        { id: 'bulk', choices: [{ index: 0, delta: { content: text.slice(half) } }] },
        { id: 'bulk', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
        { id: 'bulk', choices: [], usage: { prompt_tokens: 5, completion_tokens: 50 } },
        '[DONE]',
      )
      response.end()
    },
  })
  test.after(() => upstream.stop())
  return upstream
}

export const bulkQuestion = (question: string): JsonObject => ({
  model: 'bulk',
  messages: [{ role: 'user', content: question }],
})

function questionOf({ messages }: JsonObject): string {
  const last = Array.isArray(messages) ? messages.at(-1) : undefined
  return isJsonObject(last) ? String(last['content']) : ''
}
