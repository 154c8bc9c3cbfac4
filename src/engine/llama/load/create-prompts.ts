import type { LlamaModel } from 'node-llama-cpp'
import type { Log } from '../../../interface/log.ts'
import type { LoadedModel } from '../loaded-model.ts'
import { PromptBuilder, type PromptVocabulary } from '../prompt.ts'
import { asTokens } from '../sequence/ranking.ts'
import { ChatTemplate, chatMlTemplate } from '../text/chat-template.ts'
import { TokenBytes } from '../text/token-bytes.ts'
import type { ModelFacts } from './model-facts.ts'

/** What turns requests into tokens, and tokens into text. @throws model_file_invalid */
export function createPrompts(
  native: LlamaModel,
  facts: ModelFacts,
  log: Log,
): Pick<LoadedModel, 'template' | 'prompts' | 'tokenBytes'> {
  if (facts.chatTemplate === undefined && !facts.isEmbedder) {
    log.warn('chat template missing', { used: 'ChatML' })
  }
  const template = new ChatTemplate(facts.chatTemplate ?? chatMlTemplate, {
    bosToken: native.tokens.bosString ?? '',
    eosToken: native.tokens.eosString ?? '',
  })
  const tokenBytes = new TokenBytes(facts.vocabulary, tokenId =>
    native.detokenize(asTokens([tokenId]), true),
  )
  const prompts = new PromptBuilder(promptVocabulary(native, tokenBytes), template)
  return { template, prompts, tokenBytes }
}

function promptVocabulary(native: LlamaModel, tokenBytes: TokenBytes): PromptVocabulary {
  const { bos, shouldPrependBosToken, infill } = native.tokens
  const { prefix, suffix, middle } = infill
  return {
    size: tokenBytes.size,
    firstToken: shouldPrependBosToken ? (bos ?? undefined) : undefined,
    infill:
      prefix === null || suffix === null || middle === null
        ? undefined
        : { prefix, suffix, middle },
    controlTexts: tokenBytes.controlTexts(),
    tokenize: (text, isSpecial) => native.tokenize(text, isSpecial),
  }
}
