import type { Brand } from '../std/brand.ts'

/**
 * What a model *is*, whatever it is called: `sha256:<64 hex digits>` of the GGUF file (weights,
 * tokenizer and template in one), or `name:<upstream model name>` where an upstream tells no
 * digest.
 */
export type ModelId = Brand<string, 'ModelId'>

const digestForm = /^sha256:[0-9a-f]{64}$/
const nameForm = /^name:./s

export function modelIdFromDigest(hexDigest: string): ModelId {
  const id = `sha256:${hexDigest.toLowerCase()}`
  if (!digestForm.test(id)) throw new TypeError(`Not a SHA-256 digest: '${hexDigest}'`)
  return id as ModelId
}

/**
 * Two upstreams may call different weights by one name: such an id means something only inside this
 * node.
 */
export function modelIdFromName(name: string): ModelId {
  if (name.length === 0) throw new TypeError('A model name cannot be empty')
  return `name:${name}` as ModelId
}

/** Whether the id names bytes rather than a label, so that strangers can agree on it. */
export function isDigestId(id: ModelId): boolean {
  return digestForm.test(id)
}

export function parseModelId(text: string): ModelId | undefined {
  return digestForm.test(text) || nameForm.test(text) ? (text as ModelId) : undefined
}
