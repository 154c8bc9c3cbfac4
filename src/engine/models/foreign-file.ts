const compressed = 'is a compressed archive, not GGUF: unpack it'
const oldFormat = 'is a model in a format older than GGUF: get a GGUF version'
const pickle = 'is a Python pickle, not GGUF: convert it to GGUF'

/**
 * What people hand in instead of a GGUF file, by its first bytes (as Latin-1), with the way out.
 */
const signatures: readonly (readonly [start: string, what: string])[] = [
  ['PK\x03\x04', 'is a zip archive (PyTorch checkpoints are, too), not GGUF: convert it to GGUF'],
  ['\x80\x02', pickle],
  ['\x80\x04', pickle],
  ['\x80\x05', pickle],
  ['ggml', oldFormat],
  ['lmgg', oldFormat],
  ['fmgg', oldFormat],
  ['tjgg', oldFormat],
  ['\x1f\x8b', compressed],
  ['\xfd7zXZ', compressed],
  ['7z\xbc\xaf', compressed],
  ['\x28\xb5\x2f\xfd', compressed],
  ['BZh', compressed],
  ['\0'.repeat(16), 'starts with zeros: its download did not finish, fetch it again'],
]

const texts: readonly (readonly [pattern: RegExp, what: string])[] = [
  [
    /^version https:\/\/git-lfs\.github\.com\/spec/,
    'is a Git LFS pointer, not the model itself: run `git lfs pull` where it was cloned',
  ],
  [
    /^\s*(<!doctype html|<html|<\?xml)/i,
    'is a web page, not a model: a download got an error or a login page, fetch it again',
  ],
  [/^\s*[{[]/, 'is JSON text, not a model: a download may have got an error, fetch it again'],
]

/**
 * Says what a file is that does not start with `GGUF`, and what to do about it.
 *
 * @param head its first bytes, up to a few hundred
 */
export function describeForeignFile(head: Uint8Array, fileBytes: number): string {
  if (fileBytes === 0) return 'is empty: fetch it again'
  if (isSafetensors(head, fileBytes)) {
    return (
      'is a safetensors file, not GGUF: convert it (convert_hf_to_gguf.py of llama.cpp) ' +
      'or pull a GGUF version'
    )
  }
  const start = Buffer.from(head).toString('latin1')
  const known =
    signatures.find(([signature]) => start.startsWith(signature)) ??
    texts.find(([pattern]) => pattern.test(start))
  return known?.[1] ?? 'is not a GGUF file: only GGUF models (*.gguf) can be run'
}

/** A safetensors file starts with the length of its JSON header. */
function isSafetensors(head: Uint8Array, fileBytes: number): boolean {
  const openingBrace = 0x7b
  if (head.byteLength < 10 || head[8] !== openingBrace) return false
  const headerBytes = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)
  return headerBytes >= 2n && headerBytes <= BigInt(fileBytes)
}
