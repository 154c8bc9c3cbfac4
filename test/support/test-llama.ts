import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LlamaEngine, type LlamaModelOptions } from '../../src/engine/llama/llama-engine.ts'
import { LlamaProcessEngine } from '../../src/engine/llama/process/llama-process-engine.ts'
import type { Engine, EngineModel } from '../../src/interface/engine.ts'
import { type Log, silentLog } from '../../src/interface/log.ts'
import { type CompletionRequest, emptyRequest } from '../../src/key/completion-request.ts'
import { modelIdFromDigest } from '../../src/key/model-id.ts'
import { enginePingMs } from '../../src/limits.ts'
import { type Clock, systemClock } from '../../src/std/clock.ts'
import { systemRandom } from '../../src/std/random.ts'

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
  const models = [testModel(options)]
  const engine = new LlamaEngine({ clock: systemClock, log: silentLog }, { models })
  await engine.start({ signal })
  return engine
}

/**
 * The system's, but for timers: they take a hundredth of their time. Not so the pings of the
 * engine's process, which it may answer late on a busy machine.
 */
export const hastyClock: Clock = {
  ...systemClock,
  after: (ms, callback) => systemClock.after(ms === enginePingMs ? ms : ms / 100, callback),
}

export interface TestProcessOptions extends Partial<LlamaModelOptions> {
  readonly clock?: Clock
  readonly log?: Log
  readonly stateFolder?: string
}

/** The same in a process of its own; not started. */
export function processEngine(options: TestProcessOptions = {}): LlamaProcessEngine {
  const { clock = systemClock, log = silentLog, stateFolder, ...model } = options
  return new LlamaProcessEngine(
    { clock, log, random: systemRandom },
    {
      models: [testModel(model)],
      stateFolder: stateFolder ?? join(tmpdir(), 'hyperspace-test-state'),
    },
  )
}

export async function startedProcessEngine(
  options: TestProcessOptions = {},
): Promise<LlamaProcessEngine> {
  const engine = processEngine(options)
  await engine.start({ signal })
  return engine
}

export function testModel(options: Partial<LlamaModelOptions> = {}): LlamaModelOptions {
  return {
    path: tinyChatPath,
    // Tests need no true digest: it takes longer than they do.
    id: modelIdFromDigest('0'.repeat(64)),
    name: 'tiny-chat',
    aliases: [],
    parallel: 4,
    queueMax: 16,
    ...options,
  }
}

export function onlyModel(engine: Engine): EngineModel {
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
