/** Something that nobody outside may learn. */
export interface Secret {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * Which secrets show in what an eavesdropper has, as they are, in hex or in base64, however that is
 * aligned. Short secrets would be found by chance: they are refused.
 */
export function tracesOf(secrets: readonly Secret[], seen: Buffer): readonly string[] {
  return secrets.flatMap(({ name, bytes }) =>
    formsOf(Buffer.from(bytes))
      .filter(({ needle }) => seen.includes(needle))
      .map(({ form }) => `${name} in ${form}`),
  )
}

interface Form {
  readonly form: string
  readonly needle: Buffer
}

function formsOf(bytes: Buffer): readonly Form[] {
  if (bytes.length < 12) throw new RangeError('A shorter secret may show by chance')
  const hex = bytes.toString('hex')
  return [
    { form: 'raw', needle: bytes },
    { form: 'hex', needle: Buffer.from(hex) },
    { form: 'HEX', needle: Buffer.from(hex.toUpperCase()) },
    ...[0, 1, 2].flatMap(shift => base64Forms(bytes, shift)),
  ]
}

/**
 * Base64 of bytes that begin `shift` bytes after a group: what does not depend on the neighbours.
 */
function base64Forms(bytes: Buffer, shift: number): readonly Form[] {
  const whole = bytes.subarray((3 - shift) % 3)
  const inner = whole.subarray(0, whole.length - (whole.length % 3))
  return (['base64', 'base64url'] as const).map(form => ({
    form,
    needle: Buffer.from(inner.toString(form)),
  }))
}
