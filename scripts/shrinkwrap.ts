import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Writes npm-shrinkwrap.json for publishing: the lock file without what only developers need. A
 * published shrinkwrap is the only way to hand our `overrides` (no GPU builds) to people who
 * install the package, and npm would otherwise install the developers' part of it too. Runs before
 * `npm pack`; the file is removed afterwards.
 */
interface Lock {
  readonly packages: { readonly [path: string]: LockEntry }
}

interface LockEntry {
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly optional?: boolean
  readonly devDependencies?: unknown
  readonly dependencies?: { readonly [name: string]: string }
  readonly optionalDependencies?: { readonly [name: string]: string }
}

const lock: Lock = JSON.parse(readFileSync('package-lock.json', 'utf8'))
const kept = Object.entries(lock.packages).filter(
  ([, { dev, devOptional }]) => dev !== true && devOptional !== true,
)
// The platform builds of a developers' tool are marked optional only: they go with the tool that
// wants them.
const wanted = new Set(
  kept.flatMap(([, { dependencies, optionalDependencies }]) => [
    ...Object.keys(dependencies ?? {}),
    ...Object.keys(optionalDependencies ?? {}),
  ]),
)
const packages = kept
  .filter(([path, { optional }]) => optional !== true || wanted.has(nameOf(path)))
  .map(([path, entry]) => [path, path === '' ? { ...entry, devDependencies: undefined } : entry])
const shrinkwrap = { ...lock, packages: Object.fromEntries(packages) }
writeFileSync('npm-shrinkwrap.json', `${JSON.stringify(shrinkwrap, null, 2)}\n`)

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}
