/**
 * The same as five-nodes.test.ts with a model of SmolLM2-135M's shape, 145 MB that are made the
 * first time: `npm run test:prefix`.
 */
import { it } from 'node:test'
import { syntheticModel, syntheticSkip } from '../support/synthetic/synthetic-model.ts'
import { computedOnce } from './computed-once.ts'

it(
  'a system prompt of 2,000 tokens in a swarm of five is computed once: a SmolLM2-135M shape',
  {
    skip: syntheticSkip,
  },
  test => computedOnce(test, { file: syntheticModel('smollm2-135m'), isSlow: true }),
)
