import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { OperationError, requestInvalid } from '../errors.ts'
import { localScope, type Scope } from '../key/scope.ts'

export interface GuardOptions {
  readonly apiKeys: readonly string[]
  readonly allowOrigins: readonly string[]
  readonly nodeSecret: Uint8Array
  /** The scope of requests that do not narrow it; absent: each caller's own local one. */
  readonly sharedScope?: () => Scope | undefined
  /**
   * Whether the node listens on loopback only: then foreign `Host` names are refused (DNS
   * rebinding).
   */
  readonly isLoopback: boolean
}

/** Who may call, and which scope is theirs. */
export class Guard {
  readonly #options: GuardOptions
  readonly #openScope: Scope
  readonly #tenants: readonly { readonly key: string; readonly scope: Scope }[]

  constructor(options: GuardOptions) {
    this.#options = options
    this.#openScope = localScope(options.nodeSecret, undefined)
    this.#tenants = options.apiKeys.map(key => ({
      key,
      scope: localScope(options.nodeSecret, key),
    }))
  }

  /**
   * @throws unauthorized for a missing or wrong key. Without configured keys any key is accepted
   * and ignored.
   */
  scopeOf(headers: IncomingHttpHeaders): Scope {
    const local = this.#localScopeOf(headers)
    const sharedScope = this.#options.sharedScope?.()
    const wanted = headers['x-hyperspace-scope']
    if (wanted === 'local' || (wanted === undefined && sharedScope === undefined)) return local
    if (sharedScope !== undefined && (wanted === undefined || wanted === sharedScope.name)) {
      return sharedScope
    }
    const allowed = sharedScope === undefined ? "'local'" : `'local' or '${sharedScope.name}'`
    const rule = "a request may narrow this node's scope, not widen it"
    const message = `'x-hyperspace-scope' must be ${allowed}: ${rule}`
    throw requestInvalid('x-hyperspace-scope', message)
  }

  #localScopeOf(headers: IncomingHttpHeaders): Scope {
    if (this.#tenants.length === 0) return this.#openScope
    const given = presentedKey(headers)
    if (given === undefined) throw unauthorized('This node needs an API key')
    const tenant = this.#tenants.find(({ key }) => isEqualSecret(given, key))
    if (tenant === undefined) throw unauthorized('The API key is not one of this node')
    return tenant.scope
  }

  /** The scope of a caller of a plain endpoint. @throws unauthorized */
  scopeFor(
    access: 'client' | 'nobody' | 'admin',
    headers: IncomingHttpHeaders,
    adminToken: string,
  ): Scope {
    if (access === 'client') return this.scopeOf(headers)
    if (access === 'admin' && !isEqualSecret(presentedKey(headers) ?? '', adminToken)) {
      throw unauthorized('This endpoint needs the admin token of the data folder')
    }
    return this.#openScope
  }

  /**
   * A web page that somebody visits must not be able to spend their GPU or read their cache.
   * @throws forbidden for foreign web origins and foreign host names on loopback
   */
  checkOrigin(headers: IncomingHttpHeaders): void {
    const { origin, host } = headers
    if (origin !== undefined && !this.isAllowedOrigin(origin)) {
      throw forbidden(`Web pages of ${origin} may not call this node; allow it with --allow-origin`)
    }
    if (this.#options.isLoopback && host !== undefined && !isLoopbackName(hostName(host))) {
      throw forbidden(
        `This node listens on loopback and does not answer to the name '${hostName(host)}'`,
      )
    }
  }

  isAllowedOrigin(origin: string): boolean {
    const { allowOrigins } = this.#options
    if (allowOrigins.includes('*') || allowOrigins.includes(origin)) return true
    return URL.canParse(origin) && isLoopbackName(new URL(origin).hostname)
  }
}

function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.authorization ?? '')?.[1]
  if (bearer !== undefined) return bearer
  const apiKey = headers['x-api-key']
  return typeof apiKey === 'string' ? apiKey : undefined
}

/** Compares in a time that depends on the lengths alone. */
function isEqualSecret(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function hostName(host: string): string {
  return host.replace(/:\d+$/, '').toLowerCase()
}

function isLoopbackName(name: string): boolean {
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    /^127(\.\d+){3}$/.test(name)
  )
}

function unauthorized(why: string): OperationError {
  const remedy = 'send it as `Authorization: Bearer KEY` or `x-api-key: KEY`'
  return new OperationError('unauthorized', `${why}: ${remedy}`, { origin: 'client' })
}

function forbidden(message: string): OperationError {
  return new OperationError('forbidden', message, { origin: 'client' })
}
