export interface DurationsOptions {
  readonly name: string
  readonly help: string
  /** Upper bounds in seconds, ascending. */
  readonly bounds: readonly number[]
  readonly label?: string
}

interface Row {
  /** One per bound, and one for what is longer than all of them. */
  readonly counts: number[]
  sum: number
}

/**
 * A histogram of durations. prom-client's takes about 0.5 µs for each, and a hit, which is measured
 * twice, is to cost no more than 25: so this one counts by itself and only speaks its text format.
 */
export class Durations {
  readonly #options: DurationsOptions
  readonly #rows = new Map<string, Row>()

  constructor(options: DurationsOptions) {
    this.#options = options
    // Without a label there is one row, which is there from the start.
    if (options.label === undefined) this.#row('')
  }

  observe(seconds: number, label = ''): void {
    const { bounds } = this.#options
    const row = this.#rows.get(label) ?? this.#row(label)
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket += 1
    row.counts[bucket] = (row.counts[bucket] ?? 0) + 1
    row.sum += seconds
  }

  /** In Prometheus' text format, in which every bucket counts those before it too. */
  text(): string {
    const { name, help, bounds, label } = this.#options
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
    for (const [value, { counts, sum }] of this.#rows) {
      const own = label === undefined ? '' : `${label}="${value}"`
      const edges = [...bounds.map(String), '+Inf']
      let count = 0
      for (const [bucket, edge] of edges.entries()) {
        count += counts[bucket] ?? 0
        lines.push(`${name}_bucket{${own === '' ? '' : `${own},`}le="${edge}"} ${count}`)
      }
      const labels = own === '' ? '' : `{${own}}`
      lines.push(`${name}_sum${labels} ${sum}`, `${name}_count${labels} ${count}`)
    }
    return `${lines.join('\n')}\n`
  }

  #row(label: string): Row {
    const row = { counts: new Array<number>(this.#options.bounds.length + 1).fill(0), sum: 0 }
    this.#rows.set(label, row)
    return row
  }
}
