import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import { configPath, isLoopback, parseSetting, resolveConfig } from './config.ts'
import { isSettingName, type SettingName, settings } from './config-table.ts'
import { OperationError } from './errors.ts'
import { GiB, KiB, MiB } from './limits.ts'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'hs-config-'))
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

function resolve(
  given: {
    flags?: { [name: string]: unknown }
    env?: { [name: string]: string }
    file?: unknown
  } = {},
) {
  const { flags = {}, env = {}, file } = given
  if (file !== undefined) {
    writeFileSync(configPath(data), typeof file === 'string' ? file : JSON.stringify(file))
  }
  return resolveConfig({ data, flags, env })
}

function mistakesOf(given: Parameters<typeof resolve>[0]): string[] {
  try {
    resolve(given)
  } catch (error) {
    assert.ok(error instanceof OperationError)
    assert.equal(error.code, 'config_invalid')
    return error.message
      .split('\n')
      .slice(1)
      .map(line => line.trim())
  }
  return []
}

describe('resolveConfig()', () => {
  test('takes the defaults when nothing is said', () => {
    const { config, sources } = resolve()
    assert.equal(config.data, data)
    assert.equal(config.port, 11_500)
    assert.equal(config.host, '127.0.0.1')
    assert.deepEqual(config.model, [])
    assert.deepEqual(new Set(Object.values(sources)), new Set(['default']))
    assert.ok(Object.isFrozen(config))
  })

  test('prefers flags over the environment over the file over defaults', () => {
    const file = { port: 1, host: '127.0.0.2', queue: 7 }
    const env = { HYPERSPACE_PORT: '2', HYPERSPACE_HOST: '127.0.0.3' }
    const { config, sources } = resolve({ file, env, flags: { port: '3' } })
    assert.deepEqual([config.port, config.host, config.queue], [3, '127.0.0.3', 7])
    assert.deepEqual(
      [sources.port, sources.host, sources.queue, sources.ttl],
      ['flag', 'env', 'file', 'default'],
    )
  })

  test('treats an empty environment variable as absent', () => {
    assert.equal(resolve({ env: { HYPERSPACE_PORT: '' } }).config.port, 11_500)
  })

  test('splits a list of the environment at commas, and leaves those of flags alone', () => {
    const env = { HYPERSPACE_MODEL: 'a.gguf, b.gguf' }
    assert.deepEqual(resolve({ env }).config.model, ['a.gguf', 'b.gguf'])
    assert.deepEqual(resolve({ flags: { model: ['a,b.gguf'] } }).config.model, ['a,b.gguf'])
  })

  test('names all mistakes at once, each as the person wrote it', () => {
    const mistakes = mistakesOf({
      flags: { port: '70000', host: '0.0.0.0' },
      env: { HYPERSPACE_TTL: 'soon' },
      file: { queue: -1, colour: 'red', sampled: 'maybe' },
    })
    assert.equal(mistakes.length, 6, mistakes.join('\n'))
    const starts = ['"colour" in ', '--port: ', '"queue" in ', '"sampled" in ', 'HYPERSPACE_TTL: ']
    for (const start of [...starts, '--host 0.0.0.0: ']) {
      assert.ok(
        mistakes.some(line => line.startsWith(start)),
        `${start} in ${mistakes.join('\n')}`,
      )
    }
  })

  test('refuses to listen for others without a key', () => {
    assert.match(mistakesOf({ flags: { host: '0.0.0.0' } }).join(), /needs --api-key/)
    const flags = { host: '0.0.0.0', apiKey: ['secret'] }
    assert.equal(resolve({ flags }).config.host, '0.0.0.0')
  })

  test('checks upstreams', () => {
    assert.match(mistakesOf({ flags: { upstream: ['ftp://x'] } }).join(), /not an http\(s\) URL/)
    const tooMany = { upstream: ['http://x'], upstreamKey: ['k', 'l'] }
    assert.match(mistakesOf({ flags: tooMany }).join(), /more keys/)
  })

  for (const [what, text] of [
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a property that every object has', '{"__proto__": {}}'],
  ] as const) {
    test(`says it when the file is ${what}`, () => {
      assert.equal(mistakesOf({ file: text }).length, 1)
    })
  }

  test('says it when the file cannot be read', () => {
    mkdirSync(configPath(data))
    assert.match(mistakesOf({}).join(), /cannot be read/)
  })

  test('never throws anything but config_invalid, whatever the file holds', () => {
    const names = Object.keys(settings)
    const file = fc.dictionary(fc.constantFrom(...names), fc.jsonValue())
    fc.assert(
      fc.property(file, file => void mistakesOf({ file })),
      { numRuns: 100 },
    )
  })

  test('repeats no secret in its complaints', () => {
    const mistakes = mistakesOf({
      file: { apiKey: ['hush-hush', 5], upstreamKey: { key: 'hush-hush' } },
    })
    assert.equal(mistakes.length, 2)
    assert.doesNotMatch(mistakes.join(), /hush/)
  })
})

describe('parseSetting()', () => {
  const valid: readonly (readonly [SettingName, unknown, unknown])[] = [
    ['port', '0', 0],
    ['port', 65_535, 65_535],
    ['maxDisk', '20GB', 20 * GiB],
    ['maxDisk', '1.5 gib', 1.5 * GiB],
    ['maxDisk', 5 * MiB, 5 * MiB],
    ['maxMemory', '64k', 64 * KiB],
    ['ttl', '30d', 30 * 86_400_000],
    ['ttl', '1.1s', 1_100],
    ['ttl', '0.29s', 290],
    ['upstreamTimeout', 5, 5],
    ['discover', 'no', false],
    ['discover', true, true],
    ['sampled', 'skip', 'skip'],
  ]
  for (const [name, given, wanted] of valid) {
    test(`takes ${name} ${JSON.stringify(given)}`, () => {
      assert.deepEqual(parseSetting(settings[name], given), { value: wanted })
    })
  }

  const invalid: readonly (readonly [SettingName, unknown])[] = [
    ['port', '65536'],
    ['port', '-1'],
    ['port', '0x10'],
    ['port', 1.5],
    ['port', ''],
    ['parallel', 0],
    ['threads', 1e9],
    ['maxDisk', '4'],
    ['maxDisk', '20 parsecs'],
    ['maxDisk', ['20GB']],
    ['maxDisk', '5constructor'],
    ['ttl', '30'],
    ['ttl', '0s'],
    ['ttl', ['30d']],
    ['upstreamTimeout', '30d'],
    ['discover', 'maybe'],
    ['sampled', 'Skip'],
    ['model', ''],
    ['model', [1]],
    ['host', ''],
    ['host', null],
  ]
  for (const [name, given] of invalid) {
    test(`refuses ${name} ${JSON.stringify(given)}`, () => {
      assert.ok('mistake' in parseSetting(settings[name], given))
    })
  }

  test('answers every JSON value with a value or a mistake', () => {
    const anyName = fc.constantFrom(...Object.keys(settings).filter(isSettingName))
    fc.assert(
      fc.property(anyName, fc.jsonValue(), (name, value) => {
        const parsed = parseSetting(settings[name], value)
        return 'mistake' in parsed ? parsed.mistake !== '' : parsed.value !== undefined
      }),
    )
  })
})

test('isLoopback() knows the addresses that only this machine reaches', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) assert.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '192.168.0.1', '127.evil.example', '1270.0.0.1', '']) {
    assert.ok(!isLoopback(host), host)
  }
})
