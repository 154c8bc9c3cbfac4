import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FakeEngine } from '../engine/fake/fake-engine.ts'
import { OperationError } from '../errors.ts'
import type { Engine } from '../interface/engine.ts'
import { ModelTable } from './model-table.ts'

const one = new FakeEngine({ modelName: 'alpha', aliases: ['a', 'shared'] })
const two = new FakeEngine({ modelName: 'beta:latest', aliases: ['shared', 'alpha'] })

describe('ModelTable', () => {
  it('resolve() finds names before aliases and earlier engines before later ones', () => {
    const table = new ModelTable([two, one])
    assert.equal(table.resolve('alpha').model.name, 'alpha')
    assert.equal(table.resolve('a').engine, one)
    assert.equal(table.resolve('shared').engine, two)
  })

  it('resolve() takes names with and without :latest', () => {
    const table = new ModelTable([one, two])
    assert.equal(table.resolve('beta').model.name, 'beta:latest')
    assert.equal(table.resolve('alpha:latest').model.name, 'alpha')
  })

  it('resolve() lists the models for an unknown name', () => {
    const table = new ModelTable([one, two])
    const expected = { code: 'model_not_found', message: /'x'.*alpha, beta:latest/ }
    assert.throws(() => table.resolve('x'), expected)
  })

  it('resolve() names the upstream that is down, since the model may be there', () => {
    const message = 'Upstream lab at http://127.0.0.1:9 does not answer'
    const failure = new OperationError('upstream_unreachable', message, { origin: 'upstream' })
    const down: Engine = {
      kind: 'upstream',
      name: 'lab',
      failure,
      models: () => [],
      load: () => ({ running: 0, waiting: 0 }),
      start: async () => undefined,
      stop: async () => undefined,
    }
    const table = new ModelTable([one, down])
    assert.throws(() => table.resolve('x'), { code: 'upstream_unreachable', message: /'x'.*lab/ })
    assert.equal(table.resolve('alpha').engine, one)
  })

  it('list() follows an engine whose models change', () => {
    let models = one.models()
    const changing: Engine = {
      kind: 'fake',
      name: 'changing',
      models: () => models,
      load: () => ({ running: 0, waiting: 0 }),
      start: async () => undefined,
      stop: async () => undefined,
    }
    const table = new ModelTable([changing])
    assert.equal(table.list().length, 1)
    models = []
    assert.throws(() => table.resolve('alpha'), { code: 'model_not_found' })
    models = two.models()
    assert.equal(table.resolve('beta').model.name, 'beta:latest')
  })
})
