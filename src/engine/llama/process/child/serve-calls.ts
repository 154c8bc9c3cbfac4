import { OperationError } from '../../../../errors.ts'
import { engineItemsAheadMax } from '../../../../limits.ts'
import type { AbortOptions } from '../../../../std/signal.ts'
import { TaskScope } from '../../../../std/task-scope.ts'
import type { Call, FromChild, StreamCall, ToChild } from '../engine-messages.ts'
import { errorMessageOf } from '../error-message.ts'
import { ResidentMirror } from '../state/resident-mirror.ts'
import { answerCall, type NativeModel, tokensOf } from './answer-call.ts'
import { ItemSender } from './item-sender.ts'

/** A call under way. */
interface RunningCall {
  readonly controller: AbortController
  readonly sender: ItemSender
}

/** Runs the calls that the node's process sends, and answers each one exactly once. */
export class CallServer {
  readonly #models: readonly NativeModel[]
  readonly #send: (message: FromChild) => void
  readonly #calls = new Map<number, RunningCall>()
  readonly #toldSpeeds = new Map<number, string>()
  readonly #scope: TaskScope

  constructor(models: readonly NativeModel[], send: (message: FromChild) => void) {
    this.#models = models
    this.#send = send
    // A call answers for its failures itself: what is left is an answer that cannot be sent. The
    // process ends then, so that nobody waits for it for ever.
    this.#scope = new TaskScope((_task, error) => {
      throw error
    })
    for (const [index, model] of models.entries()) this.#tellResident(index, model)
  }

  run({ id, model, call }: ToChild & { readonly type: 'call' }): void {
    const controller = new AbortController()
    const sender = new ItemSender(items => this.#send({ type: 'items', id, items }), {
      signal: controller.signal,
      aheadMax: engineItemsAheadMax,
    })
    this.#calls.set(id, { controller, sender })
    this.#scope.spawn('call', async () => {
      const answer = await this.#answer({ id, model, call }, controller.signal, sender)
      this.#calls.delete(id)
      this.#tellSpeed(model)
      this.#send(answer)
    })
  }

  cancel(id: number): void {
    const reason = new DOMException('The call was cancelled', 'AbortError')
    this.#calls.get(id)?.controller.abort(reason)
  }

  more(id: number, count: number): void {
    this.#calls.get(id)?.sender.more(count)
  }

  async #answer(
    { id, model, call }: { readonly id: number; readonly model: number; readonly call: Call },
    signal: AbortSignal,
    sender: ItemSender,
  ): Promise<FromChild> {
    try {
      const served = this.#models[model]
      if (served === undefined) throw unknownModel()
      if (call.method !== 'generate' && call.method !== 'generateTokens') {
        return { type: 'done', id, result: await answerCall(served, call, { signal }) }
      }
      await this.#stream(served, call, { signal, sender, onBegun: () => this.#tellSpeed(model) })
      return { type: 'done', id, result: { method: call.method } }
    } catch (error) {
      return { type: 'failed', id, error: errorMessageOf(error) }
    }
  }

  async #stream(
    model: NativeModel,
    call: StreamCall,
    options: AbortOptions & { readonly sender: ItemSender; readonly onBegun: () => void },
  ): Promise<void> {
    const { signal, sender } = options
    if (call.method === 'generate') {
      for await (const event of model.generate(call.request, { ...call.options, signal })) {
        if (event.type === 'start') options.onBegun()
        await sender.push({ method: 'generate', item: event })
      }
    } else {
      const all = tokensOf(model).generateTokens(call.tokenIds, { ...call.options, signal })
      for await (const token of all) await sender.push({ method: 'generateTokens', item: token })
    }
    sender.flush()
  }

  #tellSpeed(model: number): void {
    const speed = this.#models[model]?.speed
    const text = JSON.stringify(speed)
    if (speed === undefined || this.#toldSpeeds.get(model) === text) return
    this.#toldSpeeds.set(model, text)
    this.#send({ type: 'speed', model, speed })
  }

  #tellResident(index: number, model: NativeModel): void {
    const { nativeState } = model
    if ('unavailable' in nativeState) return
    const told = new ResidentMirror()
    nativeState.onResident((slot, resident) => {
      const change = told.note(slot, resident)
      if (change !== undefined) this.#send({ type: 'resident', model: index, change })
    })
  }
}

function unknownModel(): OperationError {
  return new OperationError('engine_failed', 'The engine process does not have this model', {
    origin: 'engine',
  })
}
