import type { StreamMiddleware } from '@libp2p/interface'

/**
 * Makes `node.use()` usable. The library's registrar gives out its own list of a protocol's
 * middleware, and each inbound stream appends its handler to that list: the hundredth stream would
 * run a hundred handlers (ADR 0004 §12). This map gives out copies.
 */
class MiddlewareMap extends Map<string, StreamMiddleware[]> {
  override get(protocol: string): StreamMiddleware[] | undefined {
    return super.get(protocol)?.slice()
  }
}

export function mendMiddleware(registrar: object): void {
  Reflect.set(registrar, 'middleware', new MiddlewareMap())
}
