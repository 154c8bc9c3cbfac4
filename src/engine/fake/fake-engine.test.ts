import { engineCompliance } from '../../interface/engine.compliance.ts'
import { FakeEngine } from './fake-engine.ts'

engineCompliance('fake', async () => {
  const engine = new FakeEngine({ contextTokens: 4_096 })
  await engine.start({ signal: new AbortController().signal })
  return { engine, modelName: 'fake' }
})
