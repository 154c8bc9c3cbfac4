import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { canonicalRequest } from '../../key/canonical-request.ts'
import type { ModelId } from '../../key/model-id.ts'
import { isJsonObject } from '../../std/json.ts'
import type { ParsedRequest, WireFormat } from '../wire-format.ts'
import { chatCompletions } from './chat-completions.ts'
import { responses } from './responses.ts'

/** Bodies that real coding agents sent; not part of the repository. */
const folder = new URL('../../../../shared/data/agent-bodies/', import.meta.url)
const skip = existsSync(folder) ? false : `no recorded bodies at ${folder.pathname}`

const formats: { readonly [path: string]: WireFormat } = {
  '/v1/responses': responses,
  '/v1/chat/completions': chatCompletions,
}

function parseFile(name: string): ParsedRequest {
  const { path, body } = JSON.parse(readFileSync(new URL(name, folder), 'utf8'))
  const parsedBody: unknown = typeof body === 'string' ? JSON.parse(body) : body
  assert.ok(isJsonObject(parsedBody))
  const format = formats[String(path)]
  assert.ok(format, `${path} is one of ours`)
  return format.parse(parsedBody)
}

function canonicalText({ request }: ParsedRequest): string {
  const options = { modelId: 'name:m' as ModelId, developerRole: true, sample: 0 }
  return new TextDecoder().decode(canonicalRequest(request, options).bytes)
}

describe('coding agents', { skip }, () => {
  for (const [agent, turn] of [
    ['codex', 0],
    ['qwen', 0],
    ['qwen', 1],
  ] as const) {
    it(`${agent}: the same question asked twice is one request (turn ${turn})`, () => {
      const first = parseFile(`${agent}A-${turn}.json`)
      const second = parseFile(`${agent}B-${turn}.json`)
      assert.deepEqual(first, second)
      assert.equal(canonicalText(first), canonicalText(second))
      assert.ok(first.request.messages.length >= 2)
      assert.ok(first.request.tools.length > 0)
      assert.deepEqual(first.request.unknown.fields, {})
      assert.equal(first.stream, true)
    })

    it(`${agent}: another user's question is another request (turn ${turn})`, () => {
      const mine = canonicalText(parseFile(`${agent}A-${turn}.json`))
      assert.notEqual(mine, canonicalText(parseFile(`${agent}C-${turn}.json`)))
    })
  }

  it('codex: hosted tools are kept and told', () => {
    const { request, warnings } = parseFile('codexA-0.json')
    assert.equal(request.tools.filter(tool => tool.type === 'other').length, 2)
    assert.deepEqual(warnings, [
      'Tools of these types cannot run here, and local models do not see them: namespace, web_search',
    ])
  })
})
