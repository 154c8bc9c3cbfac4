import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import {
  adapters,
  allowedLonger,
  interfacesOnly,
  levels,
  maxima,
  packages,
  wrapped,
} from './tidy/rules.ts'
import { type SourceFile, sourceFiles } from './tidy/source-files.ts'

const source = sourceFiles('src')
const everything = [...source, ...sourceFiles('test'), ...sourceFiles('bench')]
const product = source.filter(file => !isTest(file.path))

function isTest(path: string): boolean {
  return (
    /\.(?:test|compliance)\.ts$|\/test-[a-z-]+\.ts$|-fixtures\.ts$/.test(path) ||
    !path.startsWith('src/')
  )
}

function levelOf(path: string): number {
  const matching = levels.filter(([prefix]) => path.startsWith(prefix))
  return matching.sort((a, b) => b[0].length - a[0].length)[0]?.[1] ?? Number.NaN
}

function none(faults: readonly string[], lesson: string): void {
  assert.deepEqual(faults, [], `${lesson}\n  ${faults.join('\n  ')}`)
}

describe('tidy', () => {
  it('imports go down only', () => {
    const faults = product.flatMap(file =>
      file.imports
        .filter(({ isOurs, target }) => isOurs && levelOf(target) > levelOf(file.path))
        .map(({ target }) => `${file.path} imports ${target}`),
    )
    none(
      faults,
      'A lower level must not know a higher one: move the shared part down, or pass it in.',
    )
  })

  it('adapters do not know each other, and cache/ sees interfaces only', () => {
    const faults = product.flatMap(file => {
      const own = adapters.find(prefix => file.path.startsWith(prefix))
      const isStrict = interfacesOnly.some(prefix => file.path.startsWith(prefix))
      if (own === undefined && !isStrict) return []
      return file.imports
        .filter(({ target }) =>
          adapters.some(prefix => prefix !== own && target.startsWith(prefix)),
        )
        .map(({ target }) => `${file.path} imports ${target}`)
    })
    none(faults, 'Depend on interface/ and let node.ts wire the adapters together.')
  })

  it('no circles', () => {
    const byPath = new Map(product.map(file => [file.path, file]))
    const done = new Set<string>()
    const circles: string[] = []
    const walk = (file: SourceFile, trail: readonly string[]): void => {
      if (trail.includes(file.path)) {
        circles.push([...trail.slice(trail.indexOf(file.path)), file.path].join(' → '))
        return
      }
      if (done.has(file.path)) return
      for (const { target, isType } of file.imports) {
        const next = byPath.get(target)
        if (next !== undefined && !isType) walk(next, [...trail, file.path])
      }
      done.add(file.path)
    }
    for (const file of product) walk(file, [])
    none(circles, 'Break the circle: move what both need into a third file.')
  })

  it('packages are imported in their own folders only', () => {
    const faults = product.flatMap(file =>
      file.imports
        .filter(({ isOurs, target }) => !isOurs && !target.startsWith('node:'))
        .filter(({ target }) => !foldersOf(target).some(prefix => file.path.startsWith(prefix)))
        .map(({ target }) => `${file.path} imports ${target}`),
    )
    none(faults, 'A package belongs behind an adapter (test/tidy/rules.ts says which).')
  })

  it('clock, randomness, environment and console come through their wrappers', () => {
    const faults = product.flatMap(file =>
      wrapped.flatMap(({ pattern, allowed, instead }) => {
        if (allowed.some(prefix => file.path.startsWith(prefix))) return []
        return file.lines.flatMap((line, index) =>
          pattern.test(line) && !/^\s*(?:\*|\/\/|\/\*)/.test(line)
            ? [`${file.path}:${index + 1} ${line.trim()} — ${instead}`]
            : [],
        )
      }),
    )
    none(faults, 'Otherwise the simulator lies.')
  })

  it('files stay short', () => {
    const faults = everything.flatMap(({ path, lines }) => {
      const max = isTest(path)
        ? maxima.testLines
        : path.startsWith('src/interface/')
          ? maxima.interfaceLines
          : maxima.fileLines
      return lines.length > max ? [`${path} has ${lines.length} lines, more than ${max}`] : []
    })
    none(withoutAllowed(faults), 'Split by decision and effect, not by length.')
  })

  it('lines, imports and folders stay short', () => {
    const wide = everything.flatMap(({ path, lines }) =>
      lines.flatMap((line, index) =>
        [...line].length > maxima.columns && !isUnbreakable(path, line)
          ? [`${path}:${index + 1} is too wide`]
          : [],
      ),
    )
    const greedy = product
      .filter(({ imports }) => imports.length > maxima.imports)
      .map(({ path, imports }) => `${path} imports ${imports.length} files`)
    const folders = Map.groupBy(source, ({ path }) => dirname(path))
    const crowded = [...folders]
      .map(([folder, files]) => [folder, files.filter(({ path }) => !isTest(path)).length] as const)
      .filter(([, count]) => count > maxima.filesPerFolder)
      .map(([folder, count]) => `${folder} holds ${count} files`)
    none(withoutAllowed([...wide, ...greedy, ...crowded]), 'Ask for less, or make a folder.')
  })

  it('functions stay short, flat and narrow', () => {
    const faults = product.flatMap(({ path, functions }) =>
      functions.flatMap(({ name, line, lines, parameters, nesting }) => {
        const where = `${path}:${line} ${name}()`
        return [
          ...(lines > maxima.functionLines ? [`${where} has ${lines} lines`] : []),
          ...(parameters > maxima.parameters ? [`${where} takes ${parameters} parameters`] : []),
          ...(nesting > maxima.nesting ? [`${where} nests ${nesting} deep`] : []),
        ]
      }),
    )
    none(withoutAllowed(faults), 'Split by decision (planX) and effect (runX).')
  })

  it('the rules see something', () => {
    assert.ok(product.length > 20)
    assert.ok(product.some(({ functions }) => functions.length > 5))
    assert.ok(product.every(({ path }) => !Number.isNaN(levelOf(path))))
    assert.ok(product.some(({ imports }) => imports.some(({ isOurs }) => isOurs)))
  })
})

/** Addresses have no spaces to break at, and a test's title or expected text is one literal. */
function isUnbreakable(path: string, line: string): boolean {
  return (
    line.includes('://') || (isTest(path) && /^\s*(?:it\(|test\(|describe\(|['"`/])/.test(line))
  )
}

/** Where a package may be imported. */
function foldersOf(name: string): readonly string[] {
  return packages[name] ?? packages[`${name.split('/')[0]}/*`] ?? []
}

/** Leaves out what test/tidy/rules.ts allows, each with its reason. */
function withoutAllowed(faults: readonly string[]): readonly string[] {
  return faults.filter(fault => !Object.keys(allowedLonger).some(what => fault.startsWith(what)))
}
