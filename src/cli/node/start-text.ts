import type { ModelStatus, NodeStatus } from '../../client/node-status.ts'
import { bytesText, countText, plural, printable, table } from '../format.ts'
import { swarmRows } from '../swarm/swarm-text.ts'
import type { Colors } from '../terminal.ts'

export interface StartTextOptions {
  readonly colors: Colors
  /** Whether clients must send an API key. */
  readonly needsKey: boolean
  /** Whether other servers of this machine were looked for. */
  readonly hasDiscovered: boolean
}

/** Model lines shown at the start; the others are counted. Upstreams may have hundreds. */
const shownModelsMax = 8
/** The package's own model: it knows this topic best. */
const demoModel = 'hyperspace-tiny-chat'

const nothingFound = ['Looked for', 'Ollama, llama-server, vLLM and LM Studio: none runs here']

/**
 * What `up` prints when the node is ready. Scripts wait for the last line, which is exactly
 * `Ready`.
 */
export function startText(status: NodeStatus, options: StartTextOptions): string {
  const { colors } = options
  const rows = [
    ['Data folder', status.dataFolder],
    ...modelRows(status),
    ...status.upstreams.map(upstream => [
      options.hasDiscovered ? 'Found' : 'Upstream',
      `${printable(upstream.name)} at ${upstream.url}, ${plural(upstream.models, 'model')}`,
    ]),
    ...(options.hasDiscovered && status.upstreams.length === 0 ? [nothingFound] : []),
    ['OpenAI API', status.urls.openai],
    ['Anthropic API', status.urls.anthropic],
    ...swarmRows(status.swarm),
    ['Sharing', status.sharing],
  ]
  const width = Math.max(...rows.map(([label = '']) => label.length))
  const lines = rows.map(([label = '', text = '']) => {
    return `${colors.dim(label.padEnd(width))}  ${text}\n`
  })
  const notices = status.notices.map(notice => `${colors.yellow('!')} ${printable(notice)}\n`)
  const head = `${colors.bold(`Hyperspace ${status.version}`)}\n`
  return [head, ...lines, ...notices, tryText(status, options), 'Ready\n'].join('')
}

function modelRows({ models }: NodeStatus): readonly (readonly string[])[] {
  if (models.length === 0) return [['Model', 'none: give --model FILE.gguf or --upstream URL']]
  const shown = table(models.slice(0, shownModelsMax).map(modelCells)).trimEnd().split('\n')
  const rows = shown.map((line, index) => [index === 0 ? 'Model' : '', line])
  const more = models.length - shown.length
  return more > 0 ? [...rows, ['', `and ${countText(more)} more: hyperspace models ls`]] : rows
}

function modelCells(model: ModelStatus): readonly string[] {
  const { name, origin, quantization, bytes, contextTokens } = model
  const details = [
    quantization,
    bytes === null ? null : bytesText(bytes),
    contextTokens === null ? null : `${countText(contextTokens)} tokens of context`,
  ]
  const known = details.filter(detail => detail !== null)
  return [printable(name), [printable(origin), ...known].join(', ')]
}

/** One line to paste into a shell. */
function tryText(status: NodeStatus, { colors, needsKey }: StartTextOptions): string {
  const chatModels = status.models.filter(model => model.chat)
  const model = chatModels.find(({ name }) => name === demoModel) ?? chatModels[0]
  if (model === undefined) return ''
  const body = JSON.stringify({
    model: printable(model.name),
    messages: [{ role: 'user', content: 'What is a KV cache?' }],
  })
  const key = needsKey ? ' -H "authorization: Bearer $HYPERSPACE_API_KEY"' : ''
  const line =
    `curl ${status.urls.openai}/chat/completions${key}` +
    ` -H 'content-type: application/json' -d ${shellQuoted(body)}`
  return `\n${colors.dim('Try it, twice:')}\n${line}\n\n`
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
