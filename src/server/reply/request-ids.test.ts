import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemRandom } from '../../std/random.ts'
import { RequestIds } from './request-ids.ts'

describe('RequestIds', () => {
  it('never gives a name twice, not even in another process', () => {
    const [one, other] = [new RequestIds(systemRandom), new RequestIds(systemRandom)]
    const ids = Array.from({ length: 300 }, () => [one.next(), other.next()]).flat()
    assert.equal(new Set(ids).size, 600)
    for (const id of ids) assert.match(id, /^req_[0-9a-f]{24}$/)
  })
})
