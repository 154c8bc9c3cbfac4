import { plural, secondsText } from '../format.ts'
import type { Answer } from './ask.ts'

/** `from memory · 2 ms · 145 tokens saved`: what stands under each answer. */
export function sourceLine({ source, seconds, savedTokens, reason }: Answer): string {
  const parts = [`from ${source}`, secondsText(seconds)]
  if (savedTokens > 0) parts.push(`${plural(savedTokens, 'token')} saved`)
  if (reason !== undefined && reason !== '') parts.push(reason)
  return parts.join(' · ')
}
