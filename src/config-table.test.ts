import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSetting } from './config.ts'
import { envNameOf, flagOf, isSettingName, settings } from './config-table.ts'

const names = Object.keys(settings).filter(isSettingName)

test('settings: every default passes its own check', () => {
  assert.ok(names.length > 10)
  for (const name of names) {
    const setting = settings[name]
    assert.deepEqual(parseSetting(setting, setting.default), { value: setting.default }, name)
  }
})

test('settings: flags and environment names are derived and distinct', () => {
  assert.equal(flagOf('maxDisk'), '--max-disk')
  assert.equal(envNameOf('maxDisk'), 'HYPERSPACE_MAX_DISK')
  assert.equal(flagOf('host'), '--host')
  assert.equal(new Set(names.map(flagOf)).size, names.length)
  assert.equal(new Set(names.map(envNameOf)).size, names.length)
  assert.ok(!names.map(envNameOf).includes('HYPERSPACE_DATA'), 'names the folder, not a setting')
})

test('isSettingName() refuses names that every object has', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'Host', '']) {
    assert.equal(isSettingName(name), false, name)
  }
})

test('settings: whatever holds a key is marked as secret', () => {
  for (const name of names.filter(name => /key|token|secret/i.test(name))) {
    assert.equal(settings[name].secret, true, name)
  }
})
