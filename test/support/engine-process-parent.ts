import { readdirSync } from 'node:fs'
import type { PrefixUse } from '../../src/interface/kv-state.ts'
import { chat, onlyModel, startedProcessEngine } from './test-llama.ts'

/**
 * A node's process with nothing but an engine: computes something whose state it keeps, says as one
 * line of JSON which process and which folders there are, and then waits to be killed.
 */
const { signal } = new AbortController()
const engine = await startedProcessEngine()
const model = onlyModel(engine)
const request = chat('Is anybody there? '.repeat(60), { maxTokens: 1 })
const { tokenIds } = (await model.tokens?.prompt(request, { signal })) ?? { tokenIds: [] }
const prefix: PrefixUse = {
  tokenIds,
  keep: { range: { from: 0, to: 1 }, take: () => undefined },
}
for await (const _ of model.generate(request, { seed: 1n, signal, prefix }));
const folders = readdirSync('/dev/shm').filter(name => name.includes(`-${process.pid}-`))
process.stdout.write(`${JSON.stringify({ pid: engine.pid, folders })}\n`)
setInterval(() => undefined, 60_000)
