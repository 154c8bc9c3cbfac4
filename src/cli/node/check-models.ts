import type { Config } from '../../config.ts'
import { findRunningNode } from '../../data-folder.ts'
import { silentLog } from '../../interface/log.ts'
import { systemClock } from '../../std/clock.ts'
import { startAll, stopAll } from '../../std/lifecycle.ts'
import { systemRandom } from '../../std/random.ts'
import type { CommandContext } from '../command.ts'
import { describeError } from '../exit-code.ts'
import { plural, printable } from '../format.ts'
import { modelFolderOf } from '../models/model-folder-of.ts'
import type { Finding } from './finding.ts'

/** Reads the header of each model that the configuration names: quick, whatever its size. */
export async function checkModels(
  { data, signal }: CommandContext,
  { model }: Config,
): Promise<Finding> {
  const name = 'Models'
  const { folder } = modelFolderOf(data)
  const { readGgufHeader } = await import('../../engine/models/gguf-header.ts')
  try {
    const known = await folder.list()
    const wanted =
      model.length === 0 ? known : await Promise.all(model.map(one => folder.find(one)))
    for (const { path } of wanted) await readGgufHeader(path, { signal })
    const names = wanted.map(one => printable(one.name)).join(', ')
    return { name, isOk: true, detail: names }
  } catch (error) {
    signal.throwIfAborted()
    const remedy = 'pull it again, or name another: `hyperspace models ls`'
    return { name, isOk: false, detail: describeError(error), remedy }
  }
}

/** Loads the bundled model and lets it go: shows that the native library works here. */
export async function checkEngine(
  { data, signal }: CommandContext,
  config: Config,
): Promise<Finding> {
  const name = 'Engine'
  if (findRunningNode(data) !== undefined) {
    return { name, isOk: true, detail: 'in use by the running node' }
  }
  const { createEngines } = await import('../../engines.ts')
  const demo = { ...config, model: [], upstream: [], discover: false }
  try {
    const { engines } = await createEngines(
      { clock: systemClock, log: silentLog, random: systemRandom },
      demo,
      {
        signal,
      },
    )
    await startAll(engines, { signal })
    const classes = engines.flatMap(engine => engine.models().map(model => model.numericClass))
    await stopAll(engines)
    return { name, isOk: true, detail: `loads (${classes.map(printable).join(', ')})` }
  } catch (error) {
    signal.throwIfAborted()
    const remedy = 'reinstall with `npm ci`, or serve another engine with --upstream URL'
    return { name, isOk: false, detail: describeError(error), remedy }
  }
}

/** Asks each configured upstream for its models, as a node does at its start. */
export async function checkUpstreams({ signal }: CommandContext, config: Config): Promise<Finding> {
  const name = 'Upstreams'
  if (config.upstream.length === 0) return { name, isOk: true, detail: 'none configured' }
  const { createEngines } = await import('../../engines.ts')
  const only = { ...config, model: [] }
  const { upstreams } = await createEngines(
    { clock: systemClock, log: silentLog, random: systemRandom },
    only,
    {
      signal,
    },
  )
  await startAll(upstreams, { signal })
  const failures = upstreams.flatMap(({ failure }) =>
    failure === undefined ? [] : [failure.message],
  )
  const counts = upstreams.map(
    upstream => `${upstream.label.name}: ${plural(upstream.models().length, 'model')}`,
  )
  await stopAll(upstreams)
  if (failures.length === 0) return { name, isOk: true, detail: counts.join(', ') }
  const remedy = 'start it, or correct its address with `hyperspace config set upstream URL`'
  return { name, isOk: false, detail: failures.join('; '), remedy }
}
