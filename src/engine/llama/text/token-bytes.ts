/** What a GGUF file tells about its vocabulary. */
export interface VocabularyMetadata {
  /** `gpt2`, `llama`, `bert` … */
  readonly model: string
  readonly tokens: readonly string[]
  /** One per token: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. */
  readonly tokenTypes: readonly number[]
}

const controlType = 3
const userDefinedType = 4
const byteType = 6
const encoder = new TextEncoder()

/**
 * The exact bytes of each token. llama.cpp's own detokeniser tidies spaces before punctuation and
 * cannot tell half a character, so neither streams nor log-probabilities could use it.
 */
export class TokenBytes {
  readonly #metadata: VocabularyMetadata
  /** For vocabularies whose spelling we do not know. */
  readonly #detokenize: (tokenId: number) => string

  constructor(metadata: VocabularyMetadata, detokenize: (tokenId: number) => string) {
    this.#metadata = metadata
    this.#detokenize = detokenize
  }

  get size(): number {
    return this.#metadata.tokens.length
  }

  /** Whether the token steers the model instead of being text (`<|im_end|>`). */
  isControl(tokenId: number): boolean {
    return this.#metadata.tokenTypes[tokenId] === controlType
  }

  /** Texts of all control tokens. */
  controlTexts(): readonly string[] {
    return this.#metadata.tokens.filter((_, tokenId) => this.isControl(tokenId))
  }

  /** UTF-8 bytes; a control token's are those of its name. */
  bytesOf(tokenId: number): Uint8Array {
    const text = this.#metadata.tokens[tokenId]
    const type = this.#metadata.tokenTypes[tokenId]
    if (text === undefined) return encoder.encode(this.#detokenize(tokenId))
    if (type === controlType || type === userDefinedType) return encoder.encode(text)
    if (this.#metadata.model === 'gpt2') return byteLevelBytes(text)
    if (this.#metadata.model === 'llama') return sentencePieceBytes(text, type)
    return encoder.encode(this.#detokenize(tokenId))
  }

  /** Text of tokens; bytes that are no UTF-8 become U+FFFD. */
  textOf(tokenIds: readonly number[]): string {
    return Buffer.concat(tokenIds.map(tokenId => this.bytesOf(tokenId))).toString('utf8')
  }
}

/** GPT-2's spelling: every byte is one printable character. */
function byteLevelBytes(text: string): Uint8Array {
  const bytes: number[] = []
  for (const character of text) {
    const byte = byteOfLetter.get(character)
    if (byte === undefined) bytes.push(...encoder.encode(character))
    else bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}

function sentencePieceBytes(text: string, type: number | undefined): Uint8Array {
  const byte = type === byteType ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1] : undefined
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16))
  return encoder.encode(text.replaceAll('\u2581', ' '))
}

const byteOfLetter: ReadonlyMap<string, number> = byteLetters()

/**
 * Printable Latin-1 letters stand for themselves; the other bytes got letters from U+0100 on, in
 * their order.
 */
function byteLetters(): ReadonlyMap<string, number> {
  const letters = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    letters.set(String.fromCodePoint(isPrintable ? byte : next++), byte)
  }
  return letters
}
