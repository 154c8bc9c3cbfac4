/** Figures as people say them, in ASCII only: they travel in HTTP headers. */

/** `1 block`, `12 blocks`. */
export function blocksText(blocks: number): string {
  return `${blocks} block${blocks === 1 ? '' : 's'}`
}

/** `1,920 tokens`. */
export function tokensText(tokens: number): string {
  return `${grouped(tokens)} token${tokens === 1 ? '' : 's'}`
}

/** `35 MB`: decimal, as networks count. */
export function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${figure(bytes / 1e9)} GB`
  if (bytes >= 1e6) return `${figure(bytes / 1e6)} MB`
  return `${figure(bytes / 1e3)} kB`
}

/** `8 MB/s`. */
export function bandwidthText(bytesPerSecond: number): string {
  return `${bytesText(bytesPerSecond)}/s`
}

/** `4.4 s`, `12 ms`. */
export function secondsText(seconds: number): string {
  return seconds >= 0.1 ? `${figure(seconds)} s` : `${figure(seconds * 1_000)} ms`
}

/** Two digits, or all that lie before the point. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return 'very much'
  return value >= 10 ? grouped(Math.round(value)) : String(Number(value.toFixed(1)))
}

/** `1,920`. Not by `toLocaleString`, which takes 6 ms the first time: a request waits for it. */
function grouped(whole: number): string {
  return String(whole).replace(/\B(?=(\d{3})+$)/g, ',')
}
