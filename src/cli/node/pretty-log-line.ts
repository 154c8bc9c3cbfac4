import { isJsonObject } from '../../std/json.ts'
import { printable } from '../format.ts'
import type { Colors } from '../terminal.ts'

/** A JSON line of the log for people: time, level, event, fields. Other lines stay as they are. */
export function prettyLogLine(line: string, colors: Colors): string {
  const parsed = parse(line)
  if (!isJsonObject(parsed)) return printable(line)
  const { time, level, msg, ...fields } = parsed
  const shown = Object.entries(fields).map(
    ([name, value]) => `${colors.dim(`${name}=`)}${printable(fieldText(value))}`,
  )
  return [
    colors.dim(String(time ?? '')),
    levelText(String(level ?? ''), colors),
    printable(String(msg ?? '')),
    ...shown,
  ].join(' ')
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // Something else wrote into the file, or the disk was full in the middle of a line.
    return undefined
  }
}

function fieldText(value: unknown): string {
  if (isJsonObject(value) && typeof value['message'] === 'string') return value['message']
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function levelText(level: string, colors: Colors): string {
  const text = level.padEnd(5)
  if (level === 'error') return colors.red(text)
  if (level === 'warn') return colors.yellow(text)
  return level === 'info' ? colors.green(text) : colors.dim(text)
}
