import { Counter, type Registry } from 'prom-client'

export interface TallyOptions {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  readonly registry: Registry
}

/**
 * A counter that costs one addition: prom-client, which checks and hashes the labels of every
 * count, learns the sums when somebody scrapes.
 */
export class Tally {
  readonly #sums = new Map<string, number>()

  constructor({ name, help, labelNames, registry }: TallyOptions) {
    const sums = this.#sums
    new Counter({
      name: `hyperspace_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const [labels, sum] of sums) {
          const values = labels.split(' ')
          this.inc(Object.fromEntries(labelNames.map((label, at) => [label, values[at]])), sum)
        }
      },
    })
  }

  /** Counts under these label values, in the order of their names, with a blank between them. */
  add(count: number, labels = ''): void {
    this.#sums.set(labels, this.sum(labels) + count)
  }

  sum(labels = ''): number {
    return this.#sums.get(labels) ?? 0
  }
}
