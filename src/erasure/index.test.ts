import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { sourceFiles } from '../../test/tidy/source-files.ts'

const worker = 'src/erasure/coder/coder-worker.ts'

describe('hyperspace-cache/erasure', () => {
  it('pulls in nothing of the project but std, errors and limits, and no package', () => {
    const byPath = new Map(sourceFiles('src').map(file => [file.path, file]))
    const seen = new Set<string>()
    const walk = (path: string): void => {
      if (seen.has(path)) return
      seen.add(path)
      for (const { target, isOurs } of byPath.get(path)?.imports ?? []) {
        if (isOurs) walk(target)
        else assert.match(target, /^node:/, `${path} imports ${target}`)
      }
    }
    for (const entry of ['src/erasure/index.ts', worker]) walk(entry)
    assert.ok(seen.size > 15, 'the imports were found')
    for (const path of seen) {
      assert.ok(byPath.has(path), path)
      assert.match(path, /^src\/(erasure|std)\/|^src\/(errors|limits)\.ts$/)
    }
  })
})
