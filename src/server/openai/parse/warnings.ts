import type { JsonObject } from '../../../std/json.ts'

/** Names told in one warning. They travel in a header of the reply, which must stay short. */
const namesMax = 8

/**
 * Gathers what a client should know about a request that was taken, without any text of its values.
 */
export class Warnings {
  readonly #ignored = new Set<string>()
  readonly #toolTypes = new Set<string>()
  readonly #others = new Set<string>()

  /**
   * Fields inside messages, parts and tools that have no neutral form. They reach no model, so they
   * are in no key.
   */
  ignoreUnknown(where: string, value: JsonObject, known: ReadonlySet<string>): void {
    for (const name in value) {
      if (!known.has(name) && value[name] !== null) addName(this.#ignored, `${where}.`, name)
    }
  }

  /** A tool that its vendor runs, or of a kind that no chat template renders. */
  hostedTool(type: string): void {
    addName(this.#toolTypes, '', type)
  }

  add(warning: string): void {
    this.#others.add(warning)
  }

  list(): readonly string[] {
    const warnings = [...this.#others]
    if (this.#toolTypes.size > 0) {
      const types = [...this.#toolTypes].join(', ')
      warnings.push(
        `Tools of these types cannot run here, and local models do not see them: ${types}`,
      )
    }
    if (this.#ignored.size > 0) {
      warnings.push(`Ignored fields: ${[...this.#ignored].join(', ')}`)
    }
    return warnings
  }
}

/** A name that no API has may be private text: only plain ones are repeated. */
function addName(names: Set<string>, prefix: string, name: string): void {
  if (names.size < namesMax) names.add(/^[\w.-]{1,64}$/.test(name) ? prefix + name : '(other)')
}
