import type { Setting } from '../config-table.ts'
import { GiB, KiB, MiB } from '../limits.ts'

/**
 * Columns that line up, as text: two spaces between, none at the end of a line. Widths ignore
 * colours.
 */
export function table(
  rows: readonly (readonly string[])[],
  rightAligned: ReadonlySet<number> = new Set(),
): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, width(cell))
    }
  }
  const lines = rows.map(row =>
    row
      .map((cell, index) => {
        const padding = ' '.repeat((widths[index] ?? 0) - width(cell))
        return rightAligned.has(index) ? padding + cell : cell + padding
      })
      .join('  ')
      .trimEnd(),
  )
  return lines.map(line => `${line}\n`).join('')
}

/** `1.5 GB`-like, in powers of 1024 as memory and disks are set in the configuration. */
export function bytesText(bytes: number): string {
  if (bytes < KiB) return `${bytes} B`
  const [unit, size] = bytes < MiB ? ['KB', KiB] : bytes < GiB ? ['MB', MiB] : ['GB', GiB]
  const value = bytes / Number(size)
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`
}

/** `3 s`, `2 min`, `5 h`, `12 d`: one unit, for people. */
export function secondsText(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 48 * 3_600) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** A setting's value for people: sizes and durations in units, lists with commas. */
export function readableSetting({ kind }: Setting, value: unknown): string {
  if (kind === 'bytes' && typeof value === 'number') return bytesText(value)
  if (kind === 'duration' && typeof value === 'number') return secondsText(value / 1_000)
  return Array.isArray(value) ? value.join(',') : String(value)
}

/** 1234567 → `1,234,567`. */
export function countText(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 record`, `2 records`. */
export function plural(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`
}

const escapeCharacter = String.fromCharCode(27)
const colorCodes = new RegExp(`${escapeCharacter}\\[[0-9;]*m`, 'g')

function width(cell: string): number {
  return cell.replaceAll(colorCodes, '').length
}

/**
 * Text of strangers (model names, log lines) made safe to print: no control characters reach the
 * terminal.
 */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, character => (character === '\n' ? ' ' : '\ufffd'))
}
