import { resolveConfig } from '../../config.ts'
import { findRunningNode } from '../../data-folder.ts'
import { type CommandContext, isSwitchedOn, writeJson } from '../command.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { requireNode } from '../running-node.ts'

/** Any key will do where none is configured, but clients insist on having one. */
const placeholderKey = 'hyperspace'

/** What official clients read from the environment, for sh. */
export async function env(context: CommandContext): Promise<ExitCode> {
  const { data, terminal } = context
  const { config } = resolveConfig({ data, flags: {}, env: terminal.env })
  const url = findRunningNode(data)?.url ?? urlToBe(context, config)
  const key = config.apiKey[0] ?? placeholderKey
  const variables = {
    OPENAI_BASE_URL: `${url}/v1`,
    OPENAI_API_KEY: key,
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_API_KEY: key,
  }
  if (isSwitchedOn(context, 'json')) writeJson(context, variables)
  else {
    for (const [name, value] of Object.entries(variables)) {
      terminal.write(`export ${name}=${shellQuoted(value)}\n`)
    }
  }
  return exitCodes.ok
}

/** Where the node will be once it is started. With port 0 nobody can know. */
function urlToBe(
  { data, terminal }: CommandContext,
  { host, port }: { readonly host: string; readonly port: number },
): string {
  if (port === 0) return requireNode(data).url
  terminal.writeError(`No node runs on ${data} yet; start it with \`hyperspace up\`\n`)
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return name.includes(':') ? `http://[${name}]:${port}` : `http://${name}:${port}`
}

/** As it is where nothing in it could mean anything to a shell. */
function shellQuoted(text: string): string {
  return /^[\w:/.@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
