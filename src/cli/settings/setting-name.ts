import { isSettingName, type SettingName, settings } from '../../config-table.ts'
import { closest } from '../closest.ts'
import { UsageError } from '../exit-code.ts'

/** Takes `maxDisk`, `max-disk` and `--max-disk`. @throws UsageError with the nearest names */
export function parseSettingName(text: string): SettingName {
  const camel = text
    .replace(/^--/, '')
    .replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase())
  if (isSettingName(camel)) return camel
  const near = closest(camel, Object.keys(settings))
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : knownNames()
  throw new UsageError(`There is no setting '${text}'. ${hint}`)
}

function knownNames(): string {
  return `There are ${Object.keys(settings).join(', ')}`
}
