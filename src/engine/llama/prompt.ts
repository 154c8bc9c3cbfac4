import { OperationError, requestInvalid } from '../../errors.ts'
import type { CompletionRequest, ContentPart, Message } from '../../key/completion-request.ts'
import { tokenizedCharsMax } from '../../limits.ts'
import { Lru } from '../../std/lru.ts'
import { assertMessages, type ChatTemplate } from './text/chat-template.ts'
import type { ReasoningMarks } from './text/output-parser.ts'

export interface PromptVocabulary {
  readonly size: number
  /** Token to put first when the prompt does not begin with it. */
  readonly firstToken: number | undefined
  /** Tokens around prefix, suffix and middle, where the model was trained to fill in. */
  readonly infill:
    | { readonly prefix: number; readonly suffix: number; readonly middle: number }
    | undefined
  /** Texts that steer the model (`<|im_start|>`). */
  readonly controlTexts: readonly string[]
  tokenize(text: string, isSpecial: boolean): readonly number[]
}

export interface Prompt {
  readonly tokenIds: readonly number[]
  readonly reasoning: ReasoningMarks
}

// Private-use letters around the number of a control text: no template touches them.
const guardOpen = '\uf8f0'
const guardClose = '\uf8f1'
const guarded = /\uf8f0(\d+)\uf8f1/

/** Turns requests into the tokens that are prefilled. */
export class PromptBuilder {
  readonly #vocabulary: PromptVocabulary
  readonly #template: ChatTemplate
  /** A prompt is tokenized when it is planned, and again when it is run. */
  readonly #tokenized = new Lru<string, readonly number[]>(tokenizedCharsMax)

  constructor(vocabulary: PromptVocabulary, template: ChatTemplate) {
    this.#vocabulary = vocabulary
    this.#template = template
  }

  /** The text of a chat up to where the answer begins. */
  render(request: CompletionRequest): string {
    assertMessages(request)
    return this.#template.render(request)
  }

  /** @throws request_invalid, unsupported */
  build(request: CompletionRequest): Prompt {
    if (request.kind === 'text') return { tokenIds: this.#continued(request), reasoning: 'none' }
    const text = this.render(this.#guard(request))
    const tokenIds = this.#withFirst(this.#tokenizeGuarded(text))
    return { tokenIds, reasoning: this.#template.reasoningAfter(text) }
  }

  #continued(request: CompletionRequest): readonly number[] {
    const { prompt = '', suffix = '' } = request
    if (typeof prompt !== 'string') return this.#checked(prompt)
    const tokenize = (text: string): readonly number[] => this.#vocabulary.tokenize(text, true)
    const plain = this.#withFirst(tokenize(prompt))
    if (suffix === '') {
      if (plain.length > 0) return plain
      throw requestInvalid('prompt', "'prompt' is empty, and this model has no token to begin with")
    }
    const { infill } = this.#vocabulary
    if (infill === undefined) {
      const message = "'suffix' needs a model that was trained to fill in, and this one was not"
      throw new OperationError('unsupported', message, { origin: 'client', field: 'suffix' })
    }
    const { prefix, middle } = infill
    return this.#withFirst([
      prefix,
      ...tokenize(prompt),
      infill.suffix,
      ...tokenize(suffix),
      middle,
    ])
  }

  #checked(prompt: readonly number[]): readonly number[] {
    if (prompt.length === 0) throw requestInvalid('prompt', "'prompt' holds no token")
    const { size } = this.#vocabulary
    const wrong = prompt.findIndex(id => !Number.isInteger(id) || id < 0 || id >= size)
    if (wrong === -1) return prompt
    throw requestInvalid(
      'prompt',
      `'prompt[${wrong}]' is no token id: this model's are 0 to ${size - 1}`,
    )
  }

  #withFirst(tokenIds: readonly number[]): readonly number[] {
    const first = this.#vocabulary.firstToken
    return first === undefined || tokenIds[0] === first ? tokenIds : [first, ...tokenIds]
  }

  /**
   * A control text inside a client's message must stay text: otherwise it could write messages of
   * other roles.
   */
  #guard(request: CompletionRequest): CompletionRequest {
    const guardText = (text: string): string =>
      this.#vocabulary.controlTexts.reduce(
        (guardedText, control, index) =>
          control === ''
            ? guardedText
            : guardedText.replaceAll(control, `${guardOpen}${index}${guardClose}`),
        text,
      )
    const guardPart = (part: ContentPart): ContentPart =>
      part.type === 'text' ? { ...part, text: guardText(part.text) } : part
    const guardMessage = (message: Message): Message =>
      message.role === 'assistant'
        ? message
        : { ...message, content: message.content.map(guardPart) }
    return { ...request, messages: request.messages.map(guardMessage) }
  }

  #tokenize(text: string): readonly number[] {
    const known = this.#tokenized.get(text)
    if (known !== undefined) return known
    const tokenIds = this.#vocabulary.tokenize(text, true)
    this.#tokenized.set(text, tokenIds, text.length)
    return tokenIds
  }

  #tokenizeGuarded(text: string): readonly number[] {
    // Splitting by a pattern with a group puts the control texts' numbers at the odd places.
    return text.split(guarded).flatMap((piece, index) => {
      if (index % 2 === 0) return this.#tokenize(piece)
      return this.#vocabulary.tokenize(this.#vocabulary.controlTexts[Number(piece)] ?? '', false)
    })
  }
}
