/** Whether a JSON value is a list of token ids (u32). */
export function isTokenIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(isTokenId)
}

function isTokenId(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32
}
