import { modelNotFound, OperationError } from '../errors.ts'
import type { Engine, EngineModel } from '../interface/engine.ts'

export interface ServedModel {
  readonly engine: Engine
  readonly model: EngineModel
}

/**
 * The one table from names to models. Engines are asked in order: on equal names the earlier one
 * wins, a name before an alias, and Ollama's `:latest` may be given or left out.
 */
export class ModelTable {
  readonly #engines: readonly Engine[]
  #index: ModelIndex = { lists: [], byName: new Map(), byAlias: new Map() }

  constructor(engines: readonly Engine[]) {
    this.#engines = engines
  }

  /**
   * @throws model_not_found with the list of names; upstream_unreachable while an upstream is down
   */
  resolve(name: string): ServedModel {
    const found = this.#find(name) ?? this.#find(withLatestToggled(name))
    if (found === undefined) throw this.#unknown(name)
    return found
  }

  /** All models, one per name. */
  list(): readonly ServedModel[] {
    return [...this.#current().byName.values()]
  }

  /**
   * A model of an upstream that is down is not unknown: trying again may help, another name will
   * not.
   */
  #unknown(name: string): OperationError {
    const unknown = modelNotFound(
      name,
      this.list().map(({ model }) => model.name),
    )
    const down = this.#engines.find(engine => engine.failure !== undefined)?.failure
    if (down === undefined) return unknown
    return new OperationError(down.code, `${unknown.message}. ${down.message}`, {
      origin: down.origin,
      retryable: true,
      cause: down,
    })
  }

  #find(name: string): ServedModel | undefined {
    const { byName, byAlias } = this.#current()
    return byName.get(name) ?? byAlias.get(name)
  }

  /** The index, made anew only when an engine's list is another than last time. */
  #current(): ModelIndex {
    const lists = this.#engines.map(engine => engine.models())
    if (lists.some((list, index) => list !== this.#index.lists[index])) {
      this.#index = indexModels(this.#engines, lists)
    }
    return this.#index
  }
}

interface ModelIndex {
  readonly lists: readonly (readonly EngineModel[])[]
  readonly byName: ReadonlyMap<string, ServedModel>
  readonly byAlias: ReadonlyMap<string, ServedModel>
}

function indexModels(
  engines: readonly Engine[],
  lists: readonly (readonly EngineModel[])[],
): ModelIndex {
  const byName = new Map<string, ServedModel>()
  const byAlias = new Map<string, ServedModel>()
  for (const [index, engine] of engines.entries()) {
    for (const model of lists[index] ?? []) {
      const served = { engine, model }
      if (!byName.has(model.name)) byName.set(model.name, served)
      for (const alias of model.aliases) {
        if (!byAlias.has(alias)) byAlias.set(alias, served)
      }
    }
  }
  return { lists, byName, byAlias }
}

function withLatestToggled(name: string): string {
  return name.endsWith(':latest') ? name.slice(0, -':latest'.length) : `${name}:latest`
}
