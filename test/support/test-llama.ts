import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { LlamaEngine, type LlamaModelOptions } from '../../src/engine/llama/llama-engine.ts'
import type { EngineModel } from '../../src/interface/engine.ts'
import { silentLog } from '../../src/interface/log.ts'
import { type CompletionRequest, emptyRequest } from '../../src/key/completion-request.ts'
import { modelIdFromDigest } from '../../src/key/model-id.ts'
import { systemClock } from '../../src/std/clock.ts'

export const tinyChatPath: string = repositoryPath('models/tiny-chat-q8_0.gguf')
/**
 * A second trained model, with a SentencePiece vocabulary and no chat template; not part of the
 * repository.
 */
export const storiesPath: string = repositoryPath('../shared/models/stories260K.gguf')
export const storiesSkip: string | false = existsSync(storiesPath)
  ? false
  : `${storiesPath} is not there`

const signal = new AbortController().signal

/** An engine with one model, started. */
export async function startedEngine(
  options: Partial<LlamaModelOptions> = {},
): Promise<LlamaEngine> {
  const model = {
    path: tinyChatPath,
    // Tests need no true digest: it takes longer than they do.
    id: modelIdFromDigest('0'.repeat(64)),
    name: 'tiny-chat',
    aliases: [],
    parallel: 4,
    queueMax: 16,
    ...options,
  }
  const engine = new LlamaEngine({ clock: systemClock, log: silentLog }, { models: [model] })
  await engine.start({ signal })
  return engine
}

export function onlyModel(engine: LlamaEngine): EngineModel {
  const [model] = engine.models()
  assert.ok(model !== undefined)
  return model
}

export function chat(text: string, fields: Partial<CompletionRequest> = {}): CompletionRequest {
  return {
    ...emptyRequest,
    kind: 'chat',
    model: 'tiny-chat',
    messages: [{ role: 'user', content: [{ type: 'text', text }] }],
    unknown: { api: 'openai', fields: {} },
    ...fields,
  }
}

function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}
