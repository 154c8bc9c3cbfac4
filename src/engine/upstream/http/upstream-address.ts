/** Where an upstream is. */
export interface UpstreamAddress {
  readonly origin: string
  /** What the OpenAI paths are appended to: `/v1`, `/api/v1`. */
  readonly apiPath: string
  /** What a server's own paths (`/props`, `/api/tags`) are appended to; empty for the root. */
  readonly rootPath: string
  /** For people and error messages: without credentials. */
  readonly display: string
  /** From `user:password@` in the URL. */
  readonly basicAuth: string | undefined
}

/**
 * Reads what a person writes after `--upstream`: with a path it is the API's base as the SDKs take
 * it (`https://host/api/v1`), without one `/v1` is meant.
 *
 * @throws TypeError when it is no http(s) URL
 */
export function parseUpstreamUrl(text: string): UpstreamAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError('An upstream is an http or https URL, such as http://127.0.0.1:8080/v1')
  }
  const path = url.pathname.replace(/\/+$/, '')
  const apiPath = path === '' ? '/v1' : path
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return {
    origin: url.origin,
    apiPath,
    rootPath: apiPath.replace(/\/v1$/, ''),
    display: `${url.origin}${apiPath}`,
    basicAuth: credentials === ':' ? undefined : Buffer.from(credentials).toString('base64'),
  }
}
