/**
 * What kind of server an upstream is: decides the fields it understands and the calls it has of its
 * own.
 */
export type UpstreamKind = 'ollama' | 'llama-server' | 'vllm' | 'lm-studio' | 'openai'

/** How a kind of server differs from OpenAI's API. */
export interface Dialect {
  /** Where the reasoning of earlier answers goes in a message; undefined: it is not sent. */
  readonly reasoningField: 'reasoning_content' | 'reasoning' | undefined
  /** How reasoning is switched on and off. */
  readonly reasoningSwitch: 'template' | 'effort' | undefined
  readonly maxTokensField: 'max_tokens' | 'max_completion_tokens'
}

const dialects: { readonly [kind in UpstreamKind]: Dialect } = {
  'llama-server': {
    reasoningField: 'reasoning_content',
    reasoningSwitch: 'template',
    maxTokensField: 'max_tokens',
  },
  vllm: {
    reasoningField: 'reasoning_content',
    reasoningSwitch: 'template',
    maxTokensField: 'max_tokens',
  },
  ollama: { reasoningField: 'reasoning', reasoningSwitch: 'effort', maxTokensField: 'max_tokens' },
  'lm-studio': {
    reasoningField: undefined,
    reasoningSwitch: undefined,
    maxTokensField: 'max_tokens',
  },
  openai: {
    reasoningField: 'reasoning_content',
    reasoningSwitch: undefined,
    maxTokensField: 'max_tokens',
  },
}

/**
 * OpenAI itself refuses `max_tokens` for its reasoning models, and fields that it does not know.
 */
const openAiItself: Dialect = {
  reasoningField: undefined,
  reasoningSwitch: undefined,
  maxTokensField: 'max_completion_tokens',
}

export function dialectOf(kind: UpstreamKind, origin: string): Dialect {
  const { hostname } = new URL(origin)
  const isOpenAi = hostname === 'api.openai.com' || hostname.endsWith('.openai.azure.com')
  return isOpenAi ? openAiItself : dialects[kind]
}
