import { createHash } from 'node:crypto'
import { OperationError } from '../../../errors.ts'
import type { Log } from '../../../interface/log.ts'
import type { CompletionRequest } from '../../../key/completion-request.ts'
import type { ModelId } from '../../../key/model-id.ts'
import type { Random } from '../../../std/random.ts'
import { layoutOf, type ParsedState } from '../../state-file/state-file.ts'
import { tokenizeByLlamaServer } from '../count-tokens.ts'
import type { UpstreamHttp } from '../http/upstream-http.ts'
import { dialectOf } from '../wire/dialect.ts'
import { isSameServer, type ServerFacts, serverFacts } from './server-facts.ts'
import { SlotAccess, type SlotAccessComponents } from './slot-access.ts'
import { makeSlotFolder, SlotFiles } from './slot-files.ts'

export interface SlotOptions {
  /** The `--slot-save-path` of the server. */
  readonly folder: string
  /** The id of a model file of this machine. */
  modelIdOf(path: string, signal: AbortSignal): Promise<ModelId>
}

export interface SlotComponents {
  readonly http: UpstreamHttp
  readonly random: Random
  readonly log: Log
  /** The server was exchanged for another: its slots are to be opened anew. */
  onOtherServer(): void
}

/** A llama-server whose slots can be saved. */
export interface OpenSlots {
  readonly access: SlotAccess
  readonly modelId: ModelId
  readonly numericClass: string
  /** @throws only the signal's reason */
  isSameServer(signal: AbortSignal): Promise<boolean>
}

/** Why they cannot, and whether it is of use to try again. */
export interface ClosedSlots {
  readonly unavailable: string
  readonly isPassing: boolean
}

/**
 * Finds out whether this node and a llama-server exchange slots: the model's file is on this
 * machine, a few tokens' state that the server saves turns up in the folder, and is in a form that
 * can be cut.
 * @throws only the signal's reason
 */
export async function openSlots(
  components: SlotComponents,
  options: SlotOptions,
  signal: AbortSignal,
): Promise<OpenSlots | ClosedSlots> {
  try {
    const facts = await serverFacts(components.http, signal)
    const modelId = await options.modelIdOf(facts.modelPath, signal)
    await makeSlotFolder(options.folder)
    return await open({ ...components, folder: options.folder, facts, modelId }, signal)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof OperationError) {
      return { unavailable: error.message, isPassing: error.retryable }
    }
    const cause = error instanceof Error ? error.message : String(error)
    const unavailable = `the slots of llama-server cannot be used: ${cause}`
    return { unavailable, isPassing: false }
  }
}

interface Opening extends SlotComponents {
  readonly folder: string
  readonly facts: ServerFacts
  readonly modelId: ModelId
}

async function open(opening: Opening, signal: AbortSignal): Promise<OpenSlots> {
  const { http, random, log, folder, facts, modelId, onOtherServer } = opening
  const { slots, build } = facts
  const files = new SlotFiles(http, folder, random)
  const prefill = prefillBy(http)
  const probe = { files, prefill, slot: 0 }
  const state = await probed(probe, signal)
  if (state.sequences !== slots) throw notCuttable(slots)
  const print = printOf(state)
  // With something else running beside the first time, the numbers may have come out otherwise.
  if (printOf(await probed(probe, signal)) !== print) throw busy()
  const isSame = (sameSignal: AbortSignal): Promise<boolean> =>
    isSameServer(http, facts, sameSignal)
  const parts = {
    files,
    log,
    tokensOf: tokensBy(http),
    prefill,
    isSameServer: isSame,
    onOtherServer,
  }
  const layout = layoutOf(state, `llama-server ${build}`)
  return {
    access: new SlotAccess(parts, { layout, slots }),
    modelId,
    // The server tells its build, and not what it computes with: what it computes stands for that,
    // and for adapters, settings and weights as well.
    numericClass: [modelId, `llama-server ${build}`, `rows ${print}`, 'kv f16'].join(' · '),
    isSameServer: isSame,
  }
}

/** Fewer are computed by another kernel than prompts are (DESIGN §6). */
const probeTokens: readonly number[] = Array.from({ length: 64 }, (_, index) => index + 1)
/** A large model on a slow processor reads some tokens in a second. */
const probeTimeoutMs = 60_000

async function probed(
  { files, prefill, slot }: Pick<SlotAccessComponents, 'files' | 'prefill'> & { slot: number },
  signal: AbortSignal,
): Promise<ParsedState> {
  await files.erase(slot, signal)
  await prefill(slot, probeTokens, signal)
  try {
    return await files.save(slot, signal)
  } finally {
    await files.erase(slot, signal)
  }
}

/** What the rows of a few tokens come to: equal where everything that decides them is. */
function printOf({ layers }: ParsedState): string {
  const hash = createHash('sha256')
  for (const { key, value } of layers) hash.update(key).update(value)
  return hash.digest('hex').slice(0, 16)
}

function prefillBy(http: UpstreamHttp): SlotAccessComponents['prefill'] {
  return async (slot, tokenIds, signal) => {
    const body = { prompt: [...tokenIds], n_predict: 0, id_slot: slot, cache_prompt: true }
    const call = { method: 'POST', base: 'root', path: '/completion', body } as const
    await http.json({ ...call, signal, timeoutMs: probeTimeoutMs })
  }
}

function tokensBy(http: UpstreamHttp): SlotAccessComponents['tokensOf'] {
  return async (request: CompletionRequest, signal: AbortSignal) => {
    const dialect = dialectOf('llama-server', http.address.origin)
    const how = { model: request.model, kind: 'llama-server', dialect, signal } as const
    const tokenIds = await tokenizeByLlamaServer(http, request, how)
    if (tokenIds !== undefined) return tokenIds
    throw new OperationError('unsupported', 'llama-server does not tell the prompt’s tokens', {
      origin: 'upstream',
    })
  }
}

function notCuttable(slots: number): OperationError {
  const message =
    `the slots of llama-server share one memory: start it with --parallel ${slots}, ` +
    'which gives each its own'
  return new OperationError('unsupported', message, { origin: 'upstream' })
}

function busy(): OperationError {
  return new OperationError('engine_busy', 'llama-server was busy when its slots were looked at', {
    origin: 'upstream',
    retryable: true,
  })
}
