import { type Config, resolveConfig } from '../../config.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { describeError, type ExitCode, exitCodes } from '../exit-code.ts'
import { checkReach, checkSwarm } from '../swarm/check-swarm.ts'
import { checkDataFolder, checkNodeProcess, checkPort } from './check-folder.ts'
import { checkClock, checkMemory, checkRuntime } from './check-machine.ts'
import { checkEngine, checkModels, checkUpstreams } from './check-models.ts'
import type { Check, Finding } from './finding.ts'

/**
 * Checks everything that a node needs. Each finding says what to do; exit code 1 when something is
 * broken.
 */
export async function doctor(context: CommandContext): Promise<ExitCode> {
  const { terminal } = context
  const findings: Finding[] = []
  const note = (finding: Finding): void => {
    findings.push(finding)
    if (!isSwitchedOn(context, 'json')) terminal.write(findingText(context, finding))
  }
  for (const check of [checkRuntime, checkClock, checkDataFolder, checkNodeProcess]) {
    note(await run(check, context))
  }
  const config = checkConfig(context, note)
  if (config !== undefined) {
    const checks = [
      checkPort,
      checkMemory,
      checkModels,
      checkEngine,
      checkUpstreams,
      checkSwarm,
      checkReach,
    ]
    for (const check of checks) {
      note(await run(one => check(one, config), context))
    }
  }
  const broken = findings.filter(finding => !finding.isOk)
  if (isSwitchedOn(context, 'json')) writeJson(context, { ok: broken.length === 0, findings })
  return broken.length === 0 ? exitCodes.ok : exitCodes.failure
}

function checkConfig(
  { data, terminal }: CommandContext,
  note: (finding: Finding) => void,
): Config | undefined {
  try {
    const { config } = resolveConfig({ data, flags: {}, env: terminal.env })
    note({ name: 'Configuration', isOk: true, detail: 'valid' })
    return config
  } catch (error) {
    note({
      name: 'Configuration',
      isOk: false,
      detail: describeError(error),
      remedy: 'correct it with `hyperspace config set` or `unset`; then run the doctor again',
    })
    return undefined
  }
}

/** A check that fails by itself is a finding, too: the others still run. */
async function run(check: Check, context: CommandContext): Promise<Finding> {
  try {
    return await check(context)
  } catch (error) {
    context.signal.throwIfAborted()
    return { name: 'Check', isOk: false, detail: describeError(error) }
  }
}

function findingText({ terminal }: CommandContext, finding: Finding): string {
  const { colors } = terminal
  const mark = finding.isOk ? colors.green('✓') : colors.red('✗')
  const remedy = finding.remedy === undefined ? '' : `  → ${finding.remedy}\n`
  return `${mark} ${finding.name}: ${finding.detail}\n${finding.isOk ? colors.dim(remedy) : remedy}`
}
