import { createHash } from 'node:crypto'
import {
  bytesOfToken,
  fakeDetokenize,
  fakeTokenize,
  fakeVocabularySize,
  specialTokens,
} from './fake-tokenizer.ts'

/** A token that may come next, with its natural log-probability at temperature 1. */
export interface Candidate {
  readonly tokenId: number
  readonly logprob: number
}

/**
 * Tokens that begin an answer. Which one is the draw of a sampled answer; greedy takes the most
 * likely.
 */
const openers = ['OK.', 'Yes', 'Hm.', 'So,', 'Ah!', 'Oh.', 'Hi!', 'Now', 'Yo!', 'Ok:', 'Aye', 'Sir']
const words =
  ' a b c d e f g h i am an as at be by do go he if in is it me my no of on or so to up us we'
    .split(/(?= )/)
    .map(word => fakeTokenize(word, { special: false })[0] ?? 0)
const certainShare = 0.9
const spreadShare = 0.7
const alternativesCount = 20
/** Longest text of the client that an answer repeats. */
const echoCharactersMax = 120

/**
 * What this model thinks, as pure functions of tokens: after the last `<|assistant|>` the next
 * token is that of a fixed reply to the prompt; without such a mark it is drawn from a few words by
 * a hash of the last four tokens. Equal tokens give equal distributions, whoever asks: that is what
 * makes scoring agree with generating.
 */
export class Continuation {
  readonly #reply: readonly number[] | undefined
  readonly #tokenIds: number[]
  #position = 0

  constructor(tokenIds: readonly number[]) {
    this.#tokenIds = [...tokenIds]
    const mark = tokenIds.lastIndexOf(specialTokens.assistant)
    if (mark === -1) return
    this.#reply = fakeTokenize(replyTo(tokenIds.slice(0, mark)), { special: false })
    this.#position = tokenIds.length - mark - 1
  }

  /** Most likely first; probabilities sum to at most 1. */
  distribution(): readonly Candidate[] {
    if (this.#reply === undefined) return this.#wordDistribution()
    const likely = this.#reply[this.#position] ?? specialTokens.end
    if (this.#position === 0 && likely === openerToken) return openerDistribution
    return certainDistribution(likely, this.#position)
  }

  push(tokenId: number): void {
    this.#tokenIds.push(tokenId)
    this.#position += 1
  }

  #wordDistribution(): readonly Candidate[] {
    const hash = hashOf(this.#tokenIds.slice(-4).join(','))
    if (hash % 16 === 0) return certainDistribution(specialTokens.end, hash)
    const rotation = hash % words.length
    return spreadDistribution([...words.slice(rotation), ...words.slice(0, rotation)])
  }
}

/** A distribution in which one token is nearly certain: what scripted text is reported with. */
export function certainDistribution(tokenId: number, salt: number): readonly Candidate[] {
  const candidates = [{ tokenId, logprob: Math.log(certainShare) }]
  const offset = hashOf(`${tokenId},${salt}`) % words.length
  for (let rank = 0; rank < alternativesCount; rank++) {
    const alternative = words[(offset + rank) % words.length]
    if (alternative === undefined || alternative === tokenId) continue
    candidates.push({
      tokenId: alternative,
      logprob: Math.log((1 - certainShare) / 2) - rank * Math.LN2,
    })
  }
  return candidates
}

/** Each token is less likely than the one before by a fixed factor. */
function spreadDistribution(tokenIds: readonly number[]): readonly Candidate[] {
  return tokenIds.map((tokenId, rank) => ({
    tokenId,
    logprob: Math.log(1 - spreadShare) + rank * Math.log(spreadShare),
  }))
}

const openerToken = fakeTokenize('OK.', { special: false })[0]
const openerDistribution: readonly Candidate[] = spreadDistribution(
  openers.map(opener => fakeTokenize(opener, { special: false })[0] ?? 0),
)

/** Log-probability of a token, also of one that is no candidate. */
export function logprobOf(tokenId: number, distribution: readonly Candidate[]): number {
  const known = distribution.find(candidate => candidate.tokenId === tokenId)
  return known?.logprob ?? Math.log(1e-3 / fakeVocabularySize)
}

/**
 * The draw of `seed` at `position`: the same for equal arguments; the most likely at temperature 0.
 */
export function draw(
  distribution: readonly Candidate[],
  temperature: number,
  seed: bigint,
  position: number,
): number {
  const greedy = distribution[0]?.tokenId ?? specialTokens.end
  if (temperature === 0) return greedy
  let rest = hashOf(`${BigInt.asUintN(64, seed)},${position}`) / 2 ** 32
  for (const candidate of distribution) {
    rest -= Math.exp(candidate.logprob)
    // A nearly certain token is never replaced: sampled answers stay readable.
    if (rest < 0 || candidate.logprob === Math.log(certainShare)) return candidate.tokenId
  }
  return greedy
}

/**
 * The reply to a rendered prompt. Its last characters depend on every token of it, so that two
 * prompts never share an answer. `/say TEXT` in the last message of the client is answered by TEXT,
 * `/long N` by N words.
 */
function replyTo(promptTokens: readonly number[]): string {
  const asked = lastUserText(promptTokens)
  const said = /^\/say ([\s\S]*)/.exec(asked)?.[1]
  if (said !== undefined) return said
  const wordCount = Number(/^\/long (\d{1,6})$/.exec(asked)?.[1] ?? 0)
  if (wordCount > 0) return `OK.${' word'.repeat(wordCount)}`
  const digest = hashOf(promptTokens.join(',')).toString(16).padStart(8, '0')
  return `OK. You said: ${Array.from(asked).slice(0, echoCharactersMax).join('')} [${digest}]`
}

function lastUserText(promptTokens: readonly number[]): string {
  const start = promptTokens.lastIndexOf(specialTokens.user)
  if (start === -1) return ''
  const end = promptTokens.indexOf(specialTokens.end, start)
  return fakeDetokenize(promptTokens.slice(start + 1, end === -1 ? undefined : end))
}

/** 32 bits of SHA-256. */
export function hashOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE(0)
}

export function textOfToken(tokenId: number): { token: string; bytes: readonly number[] } {
  const bytes = bytesOfToken(tokenId)
  return { token: Buffer.from(bytes).toString('utf8'), bytes: [...bytes] }
}
