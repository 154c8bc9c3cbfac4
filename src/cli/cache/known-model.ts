import { readFileSync } from 'node:fs'
import { dataFolderPaths } from '../../data-folder.ts'
import { OperationError } from '../../errors.ts'
import { isDigestId, type ModelId, modelIdFromDigest, modelIdFromName } from '../../key/model-id.ts'
import { isJsonObject } from '../../std/json.ts'
import type { AbortOptions } from '../../std/signal.ts'
import { modelFolderOf } from '../models/model-folder-of.ts'

/** What a key needs to know of a model. */
export interface KnownModel {
  readonly id: ModelId
  readonly developerRole: boolean
  /** In words, for people. */
  readonly knownFrom: string
}

/**
 * What a model's name means without asking a node: its last start tells, else the model files, else
 * the name itself.
 */
export async function knownModel(
  data: string,
  name: string,
  options: AbortOptions,
): Promise<KnownModel> {
  const served = servedModel(data, name)
  if (served !== undefined) return served
  const { folder } = modelFolderOf(data)
  try {
    const { id } = await folder.show(await folder.find(name), options)
    return { id, developerRole: false, knownFrom: 'the model file' }
  } catch (error) {
    if (!(error instanceof OperationError)) throw error
    return {
      id: modelIdFromName(name),
      developerRole: false,
      knownFrom: 'its name only, as no model file of that name is known here',
    }
  }
}

/** From `models/table.json`, which a node writes when it starts. */
function servedModel(data: string, name: string): KnownModel | undefined {
  const toggled = name.endsWith(':latest') ? name.slice(0, -':latest'.length) : `${name}:latest`
  const rows = readTable(dataFolderPaths(data).modelTable)
  const row =
    rows.find(candidate => candidate.name === name) ??
    rows.find(candidate => candidate.aliases.includes(name)) ??
    rows.find(candidate => candidate.name === toggled || candidate.aliases.includes(toggled))
  if (row === undefined) return undefined
  return { id: row.id, developerRole: row.developerRole, knownFrom: 'the last start of the node' }
}

interface TableRow {
  readonly name: string
  readonly aliases: readonly unknown[]
  readonly id: ModelId
  readonly developerRole: boolean
}

function readTable(path: string): readonly TableRow[] {
  let table: unknown
  try {
    table = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // No node has run here, or its file is damaged: both mean that nothing is known from it.
    return []
  }
  const models = isJsonObject(table) ? table['models'] : undefined
  return Array.isArray(models) ? models.flatMap(parseRow) : []
}

function parseRow(value: unknown): readonly TableRow[] {
  if (!isJsonObject(value)) return []
  const { name, aliases, id, developerRole } = value
  if (typeof name !== 'string' || typeof id !== 'string' || !Array.isArray(aliases)) return []
  const modelId = parseModelId(id)
  return modelId === undefined
    ? []
    : [{ name, aliases, id: modelId, developerRole: developerRole === true }]
}

function parseModelId(text: string): ModelId | undefined {
  if (text.startsWith('name:') && text.length > 'name:'.length) {
    return modelIdFromName(text.slice('name:'.length))
  }
  const digest = /^sha256:([0-9a-f]{64})$/.exec(text)?.[1]
  const id = digest === undefined ? undefined : modelIdFromDigest(digest)
  return id !== undefined && isDigestId(id) ? id : undefined
}
