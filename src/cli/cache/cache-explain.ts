import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { noEntry } from '../../cache/response-cache.ts'
import { OperationError } from '../../errors.ts'
import { completionFormats } from '../../server/endpoints.ts'
import { parseJsonBody } from '../../server/read-body.ts'
import type { WireFormat } from '../../server/wire-format.ts'
import { type CommandContext, isSwitchedOn, textOption, writeJson } from '../command.ts'
import { type ExitCode, exitCodes, UsageError } from '../exit-code.ts'
import { printable } from '../format.ts'
import { type Explained, explainBody } from './explain-body.ts'
import { prefixPlanText } from './prefix/prefix-text.ts'

/**
 * Says what a request body means to the cache, and how it differs from what is stored. Needs no
 * running node.
 */
export async function cacheExplain(context: CommandContext): Promise<ExitCode> {
  const { endpoint, format } = endpointOf(textOption(context, 'endpoint') ?? '/v1/chat/completions')
  const body = parseJsonBody(await readInput(context))
  const explained = await explainBody(context, { endpoint, format, body })
  if (isSwitchedOn(context, 'json')) writeJson(context, jsonOf(explained))
  else context.terminal.write(textOf(explained))
  return exitCodes.ok
}

/** @throws UsageError naming the endpoints there are */
function endpointOf(text: string): { readonly endpoint: string; readonly format: WireFormat } {
  const path = text.startsWith('/') ? text : `/${text}`
  for (const endpoint of [path, `/v1${path}`]) {
    const format = completionFormats.get(endpoint)
    if (format !== undefined) return { endpoint, format }
  }
  const known = [...completionFormats.keys()].join(', ')
  throw new UsageError(`--endpoint must be one of ${known}, not '${text}'`)
}

async function readInput({ args, terminal }: CommandContext): Promise<Uint8Array> {
  const [file = '-'] = args
  if (file === '-') return await buffer(terminal.stdin)
  try {
    return await readFile(file)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new OperationError('not_found', `Cannot read ${file}: ${why}`, {
      origin: 'client',
      cause: error,
    })
  }
}

function jsonOf({ model, ...explained }: Explained): unknown {
  return { ...explained, modelId: model.id, modelKnownFrom: model.knownFrom }
}

function textOf(explained: Explained): string {
  const { model, isSecretKnown, leftOut, warnings, prefix } = explained
  const key = isSecretKnown ? explained.key : `${explained.key} (see below)`
  const sections = [
    section('Canonical request', JSON.stringify(explained.canonical, null, 2)),
    section('Key', `${key}\nlook-up key ${explained.lookupKey}\nscope ${explained.scope}`),
    section('Model', `${model.id}\nknown from ${model.knownFrom}`),
    section(
      'Left out of the key',
      leftOut.length === 0 ? 'nothing' : leftOut.map(printable).join('\n'),
    ),
    ...(warnings.length === 0 ? [] : [section('Warnings', warnings.map(printable).join('\n'))]),
    section('Stored', storedText(explained)),
    ...(prefix === undefined ? [] : [section('Prefix', prefixPlanText(prefix))]),
  ]
  const note = isSecretKnown ? '' : '\nno data folder: key computed with an all-zero secret\n'
  return `${sections.join('\n')}${note}`
}

function section(title: string, text: string): string {
  return `${title}\n${text.replaceAll(/^/gm, '  ')}\n`
}

function storedText({ isStored, missReason, nearest }: Explained): string {
  if (isStored) return 'yes: the next such request is a hit'
  if (nearest.length === 0) return 'no, and nothing else is'
  const [first] = nearest
  if (first?.differs.length === 0 && missReason !== undefined && missReason !== noEntry) {
    return `not for this request: ${missReason}`
  }
  const lines = nearest.map(({ lookupKey, createdAt, differs }) => {
    const fields =
      differs.length === 0 ? 'nothing but the scope' : differs.map(printable).join(', ')
    return `${lookupKey.slice(0, 16)} of ${createdAt} differs in ${fields}`
  })
  return ['no. The nearest stored requests:', ...lines].join('\n')
}
