import { startFakeOpenAiUpstream } from '../../../test/support/fake-openai-upstream.ts'
import { engineCompliance } from '../../interface/engine.compliance.ts'
import { silentLog } from '../../interface/log.ts'
import { systemClock } from '../../std/clock.ts'
import { systemRandom } from '../../std/random.ts'
import { FakeEngine } from '../fake/fake-engine.ts'
import { UpstreamEngine } from './upstream-engine.ts'

const { signal } = new AbortController()

engineCompliance('upstream', async () => {
  const fake = new FakeEngine({ modelName: 'served', contextTokens: 4_096 })
  await fake.start({ signal })
  const [model] = fake.models()
  if (model === undefined) throw new TypeError('The fake engine has a model')
  const upstream = await startFakeOpenAiUpstream(model)
  const engine = new UpstreamEngine(
    { clock: systemClock, log: silentLog, random: systemRandom },
    { name: 'test', url: upstream.url, connectTimeoutMs: 5_000, idleTimeoutMs: 30_000 },
  )
  await engine.start({ signal })
  return { engine, modelName: 'served', dispose: () => upstream.stop() }
})
