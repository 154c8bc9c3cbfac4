import type { Clock } from '../../../../std/clock.ts'
import type { StateParts } from './prepared-state.ts'
import { ReadyFile } from './ready-file.ts'
import { StateFolder, type StateFolderComponents, type StateFolderOptions } from './state-folder.ts'
import { StateThread } from './state-thread.ts'

/** Makes nothing yet: neither thread nor folder. */
export function createStateParts(
  components: StateFolderComponents & { readonly clock: Clock },
  options: StateFolderOptions,
): StateParts {
  const { clock, log, scope } = components
  const folder = new StateFolder(components, options)
  const thread = new StateThread()
  const files = new ReadyFile({ clock, log, scope, folder, thread })
  return { clock, log, scope, folder, files, thread }
}
