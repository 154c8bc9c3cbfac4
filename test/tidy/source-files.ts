import { readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Node, parse } from 'acorn'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface SourceFile {
  /** From the repository's root, with `/`. */
  readonly path: string
  readonly lines: readonly string[]
  readonly imports: readonly Import[]
  readonly functions: readonly FunctionShape[]
}

export interface Import {
  /** The repository path of a file of ours, or the name of a package (`node:fs`, `zod`). */
  readonly target: string
  readonly isOurs: boolean
  /** Types vanish at run time: they make no circle. */
  readonly isType: boolean
}

export interface FunctionShape {
  readonly name: string
  readonly line: number
  readonly lines: number
  readonly parameters: number
  readonly nesting: number
}

/** All TypeScript files below a folder of the repository. */
export function sourceFiles(folder: string): readonly SourceFile[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => readSource(join(entry.parentPath, entry.name)))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function readSource(file: string): SourceFile {
  const text = readFileSync(file, 'utf8')
  const path = relative(root, file).replaceAll('\\', '/')
  return {
    path,
    lines: text.trimEnd().split('\n'),
    imports: importsOf(text, file),
    functions: functionsOf(text),
  }
}

const importForm =
  /^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?'([^']+)'|import\('([^']+)'\)/gm

function importsOf(text: string, file: string): readonly Import[] {
  return [...text.matchAll(importForm)].map(match => {
    const target = match[2] ?? match[3] ?? ''
    const isType = match[1] !== undefined
    if (!target.startsWith('.')) return { target: packageOf(target), isOurs: false, isType }
    const path = relative(root, resolve(dirname(file), target)).replaceAll('\\', '/')
    return { target: path, isOurs: true, isType }
  })
}

/** `@scope/name/deep` → `@scope/name`. */
function packageOf(target: string): string {
  if (target.startsWith('node:')) return target
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')
}

/**
 * Every function with a block body. Positions are those of the source: stripping types keeps them.
 */
function functionsOf(text: string): readonly FunctionShape[] {
  const tree = parse(stripTypeScriptTypes(text), {
    ecmaVersion: 'latest',
    sourceType: 'module',
    locations: true,
  })
  const shapes: FunctionShape[] = []
  visit(tree, 'module', (node, name) => {
    const body = childOf(node, 'body')
    if (!isFunction(node) || body?.type !== 'BlockStatement') return
    shapes.push({
      name,
      line: node.loc?.start.line ?? 0,
      lines: (node.loc?.end.line ?? 0) - (node.loc?.start.line ?? 0) + 1,
      parameters: childrenOf(node, 'params').length,
      nesting: nestingOf(body, 0),
    })
  })
  return shapes
}

function visit(node: Node, name: string, see: (node: Node, name: string) => void): void {
  const own = nameOf(node) ?? name
  see(node, own)
  for (const child of allChildren(node)) visit(child, own, see)
}

const nests = new Set([
  'IfStatement',
  'ForStatement',
  'ForOfStatement',
  'ForInStatement',
  'WhileStatement',
  'DoWhileStatement',
  'SwitchStatement',
  'TryStatement',
])

/**
 * Deepest nesting of statements; `else if` does not nest, and functions within count for
 * themselves.
 */
function nestingOf(node: Node, depth: number): number {
  let deepest = depth
  for (const child of allChildren(node)) {
    if (isFunction(child)) continue
    const isElseIf = node.type === 'IfStatement' && childOf(node, 'alternate') === child
    const nested = nests.has(child.type) && !isElseIf
    deepest = Math.max(deepest, nestingOf(child, nested ? depth + 1 : depth))
  }
  return deepest
}

function isFunction(node: Node): boolean {
  return /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)
}

function nameOf(node: Node): string | undefined {
  const id = childOf(node, 'id') ?? childOf(node, 'key')
  const name = id === undefined ? undefined : Reflect.get(id, 'name')
  return typeof name === 'string' ? name : undefined
}

function childOf(node: Node, field: string): Node | undefined {
  const value: unknown = Reflect.get(node, field)
  return isNode(value) ? value : undefined
}

function childrenOf(node: Node, field: string): readonly Node[] {
  const value: unknown = Reflect.get(node, field)
  return Array.isArray(value) ? value.filter(isNode) : []
}

function allChildren(node: Node): readonly Node[] {
  return Object.keys(node).flatMap(field => {
    const one = childOf(node, field)
    return one === undefined ? childrenOf(node, field) : [one]
  })
}

function isNode(value: unknown): value is Node {
  return (
    typeof value === 'object' && value !== null && typeof Reflect.get(value, 'type') === 'string'
  )
}
