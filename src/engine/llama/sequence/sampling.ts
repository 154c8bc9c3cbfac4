import type { SequenceEvaluateOptions } from 'node-llama-cpp'
import type { Sampling } from '../../../key/completion-request.ts'

/**
 * What is done where the client is silent: llama-server's defaults, except that `top_k` is off and
 * T is OpenAI's 1.
 */
export const defaultSampling: {
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly minP: number
} = { temperature: 1, topP: 1, topK: 0, minP: 0.05 }

/** How many generated tokens penalties look back on. */
const penaltyWindowTokens = 256

/** One draw of the sampler, as node-llama-cpp takes it. Temperature 0 is greedy. */
export function samplerOptions(sampling: Sampling, seed: number): SequenceEvaluateOptions {
  return {
    temperature: sampling.temperature ?? defaultSampling.temperature,
    topP: sampling.topP ?? defaultSampling.topP,
    topK: sampling.topK ?? defaultSampling.topK,
    minP: sampling.minP ?? defaultSampling.minP,
    seed,
    yieldEogToken: true,
  }
}

/**
 * Penalties on what was generated so far; undefined where there are none. Prompt tokens are not
 * punished.
 */
export function repeatPenalty(
  sampling: Sampling,
  generated: readonly number[],
): { tokens: readonly number[]; penalty: number; frequency: number; presence: number } | undefined {
  const penalty = sampling.repetitionPenalty ?? 1
  const frequency = sampling.frequencyPenalty ?? 0
  const presence = sampling.presencePenalty ?? 0
  if (penalty === 1 && frequency === 0 && presence === 0) return undefined
  return { tokens: generated.slice(-penaltyWindowTokens), penalty, frequency, presence }
}

/** Whether the chosen token is the likeliest one of the untouched distribution. */
export function isPlainGreedy(sampling: Sampling): boolean {
  const temperature = sampling.temperature ?? defaultSampling.temperature
  const hasBias = Object.keys(sampling.logitBias ?? {}).length > 0
  return temperature <= 0 && !hasBias && repeatPenalty(sampling, []) === undefined
}

const golden = 0x9e37_79b9_7f4a_7c15n

/**
 * The sampler's seed for one position: SplitMix64 of the request's seed. Each position has its own,
 * so that an audit can replay the draw at any position without those before it.
 */
export function seedAt(seed: bigint, position: number): number {
  let mixed = BigInt.asUintN(64, seed + golden * BigInt(position + 1))
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n)
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn)
  return Number((mixed ^ (mixed >> 31n)) & 0xffff_ffffn)
}
