import assert from 'node:assert/strict'
import { it } from 'node:test'
import { FakeEngine } from '../../engine/fake/fake-engine.ts'
import type { EngineModel } from '../../interface/engine.ts'
import { parseResponseKey } from '../../key/response-key.ts'
import { question, testScope } from '../test-cache.ts'
import { answerGeneration } from './answer-generation.ts'

const { signal } = new AbortController()

it('answerGeneration() tells the partition in which the engine was asked', async () => {
  const engine = new FakeEngine()
  const [fake] = engine.models()
  const key = parseResponseKey('ab'.repeat(32))
  assert.ok(fake && key)
  const partitions: unknown[] = []
  const generate: EngineModel['generate'] = (request, options) => {
    partitions.push(options.partition)
    return fake.generate(request, options)
  }
  const model: EngineModel = Object.assign(Object.create(fake), { generate })
  const ask = { served: { engine, model }, request: question('Where?'), scope: testScope, key }
  const generation = answerGeneration(undefined, ask)
  const events = await Array.fromAsync(generation.generate(signal))
  assert.equal(events.at(-1)?.type, 'usage')
  const { unauditedTokens, partition } = generation.basis()
  assert.deepEqual([partitions, unauditedTokens], [[partition], 0])
  assert.notEqual(partition, '', 'no scope shares with another')
})
