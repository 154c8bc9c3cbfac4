import { readFileSync } from 'node:fs'

interface PackageInfo {
  readonly version: string
}

/** The package's own version: src/ and dist/ are equally deep. */
export function packageVersion(): string {
  const info: PackageInfo = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  )
  return info.version
}
