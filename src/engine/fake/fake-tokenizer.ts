/**
 * A reversible tokenizer without a vocabulary file: a token is one to three bytes of UTF-8, and its
 * id says which. Words are cut before a space, so that texts with a common beginning have common
 * leading tokens. A character of four bytes becomes two tokens, as in real vocabularies: neither is
 * valid UTF-8 alone.
 */
const pieceBytesMax = 3
/** First id of the pieces of 1, 2 and 3 bytes. */
const pieceBase = [0, 256, 256 + 65_536] as const
const specialBase = 256 + 65_536 + 16_777_216

/** Ids of the marks that a chat is rendered with. */
export const specialTokens: Readonly<
  Record<'system' | 'user' | 'assistant' | 'tool' | 'tools' | 'end', number>
> = {
  system: specialBase,
  user: specialBase + 1,
  assistant: specialBase + 2,
  tool: specialBase + 3,
  tools: specialBase + 4,
  end: specialBase + 5,
}

export const fakeVocabularySize: number = specialBase + 6

const specialTexts = new Map<string, number>(
  Object.entries(specialTokens).map(([name, tokenId]) => [`<|${name}|>`, tokenId]),
)
const specialById = new Map([...specialTexts].map(([text, tokenId]) => [tokenId, text]))
const specialPattern = /(<\|(?:system|user|assistant|tools|tool|end)\|>)/

export function fakeTokenize(text: string, options: { readonly special: boolean }): number[] {
  if (!options.special) return tokenizePlain(text)
  return text.split(specialPattern).flatMap(part => {
    const tokenId = specialTexts.get(part)
    return tokenId === undefined ? tokenizePlain(part) : [tokenId]
  })
}

function tokenizePlain(text: string): number[] {
  const tokenIds: number[] = []
  let piece: number[] = []
  const endPiece = (): void => {
    if (piece.length > 0) tokenIds.push(idOfPiece(piece))
    piece = []
  }
  for (const character of text) {
    const bytes = Buffer.from(character)
    if (character === ' ' || piece.length + bytes.length > pieceBytesMax) endPiece()
    for (const byte of bytes) {
      if (piece.length === pieceBytesMax) endPiece()
      piece.push(byte)
    }
  }
  endPiece()
  return tokenIds
}

function idOfPiece(piece: readonly number[]): number {
  const base = pieceBase[piece.length - 1] ?? 0
  return base + piece.reduce((value, byte) => value * 256 + byte, 0)
}

/** The bytes that a token stands for; those of its mark, `<|user|>`, for a special one. */
export function bytesOfToken(tokenId: number): Uint8Array {
  const special = specialById.get(tokenId)
  if (special !== undefined) return Buffer.from(special)
  if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= fakeVocabularySize) {
    throw new RangeError(`No token ${tokenId} in a vocabulary of ${fakeVocabularySize}`)
  }
  const bytesCount = pieceBase.findLastIndex(base => tokenId >= base) + 1
  let value = tokenId - (pieceBase[bytesCount - 1] ?? 0)
  const bytes = new Uint8Array(bytesCount)
  for (let index = bytesCount - 1; index >= 0; index--) {
    bytes[index] = value % 256
    value = Math.floor(value / 256)
  }
  return bytes
}

export function fakeDetokenize(tokenIds: readonly number[]): string {
  return Buffer.concat(tokenIds.map(bytesOfToken)).toString('utf8')
}
