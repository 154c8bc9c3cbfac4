import type { ContentPart } from '../../key/completion-request.ts'
import { refuse } from '../validate.ts'

/**
 * First characters of the base64 text of image files, by media type: Ollama's clients send no type.
 */
const signatures: readonly (readonly [start: string, mediaType: string])[] = [
  ['iVBORw0KGgo', 'image/png'],
  ['/9j/', 'image/jpeg'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
]

/** @throws request_invalid for what is neither base64 nor a data URL */
export function parseImages(images: readonly string[], path: string): readonly ContentPart[] {
  return images.map((image, index) => {
    if (image.startsWith('data:')) return { type: 'image', url: image }
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(image)) {
      refuse(`${path}[${index}]`, 'an image in base64', image)
    }
    const known = signatures.find(([start]) => image.startsWith(start))
    return { type: 'image', url: `data:${known?.[1] ?? 'image/png'};base64,${image}` }
  })
}
