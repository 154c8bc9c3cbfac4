import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchResult, BenchRow } from './bench-result.ts'

/**
 * `node bench/run.ts NAME`: runs `bench/NAME.ts`, prints a table and writes `.bench/NAME.json`.
 * Without a name, or with an unknown one, it lists them and exits with 2.
 */
const folder = import.meta.dirname
const notBenches: readonly string[] = ['run', 'bench-result']

function benchNames(): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => entry.name.slice(0, -'.ts'.length))
    .filter(name => !notBenches.includes(name))
}

async function main(name: string | undefined): Promise<number> {
  if (name === undefined || !benchNames().includes(name)) {
    const problem = name === undefined ? 'Which bench?' : `No bench '${name}'.`
    process.stderr.write(`${problem} There are: ${benchNames().join(', ')}\n`)
    return 2
  }
  const bench: { run: () => Promise<BenchResult> } = await import(`./${name}.ts`)
  const result = await bench.run()
  process.stdout.write(`${tableOf(result.rows)}\n`)
  const target = join(folder, '..', '.bench')
  mkdirSync(target, { recursive: true })
  writeFileSync(join(target, `${name}.json`), `${JSON.stringify(result, undefined, 2)}\n`)
  return 0
}

function tableOf(rows: readonly BenchRow[]): string {
  const lines = [['what', 'value', 'ratio', 'target'], ...rows.map(cellsOf)]
  const widths = [0, 1, 2].map(column =>
    Math.max(...lines.map(cells => cells[column]?.length ?? 0)),
  )
  return lines
    .map(cells =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cellsOf(row: BenchRow): string[] {
  const value = row.value.toLocaleString('en', { maximumSignificantDigits: 4 })
  const ratio = row.ratio === undefined ? '' : `${row.ratio.toFixed(2)} × ${row.of ?? ''}`
  return [row.label, `${value} ${row.unit}`, ratio, row.target ?? '']
}

process.exitCode = await main(process.argv[2])
