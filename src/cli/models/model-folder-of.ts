import { ModelDigests } from '../../engine/models/model-digest.ts'
import { ModelFolder } from '../../engine/models/model-folder.ts'
import { silentLog } from '../../interface/log.ts'

export interface FolderModels {
  readonly digests: ModelDigests
  readonly folder: ModelFolder
}

/** The models of a data folder, whether or not a node runs on it. */
export function modelFolderOf(data: string): FolderModels {
  const digests = new ModelDigests({ log: silentLog }, { dataDir: data })
  return { digests, folder: new ModelFolder({ digests, log: silentLog }, { dataDir: data }) }
}
