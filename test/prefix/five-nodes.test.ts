import { describe, it } from 'node:test'
import { storiesPath, storiesSkip, tinyChatPath } from '../support/test-llama.ts'
import { computedOnce } from './computed-once.ts'

describe('a system prompt of 2,000 tokens in a swarm of five', () => {
  it('is computed once: the demo model', test =>
    computedOnce(test, { file: tinyChatPath, isSlow: false }))

  it('is computed once: stories260K', { skip: storiesSkip }, test =>
    computedOnce(test, { file: storiesPath, isSlow: true }),
  )
})
