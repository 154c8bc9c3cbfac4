import { OperationError } from '../errors.ts'
import type { Endpoint } from './endpoint.ts'

export interface Match {
  readonly endpoint: Endpoint
  /** What follows the prefix of a prefix endpoint, decoded. */
  readonly rest: string
}

interface Place {
  readonly methods: ReadonlyMap<string, Endpoint>
  readonly rest: string
}

/**
 * Method and path to endpoint. Exact paths first; a path that ends in `/*` takes everything below.
 */
export class Router {
  readonly #exact = new Map<string, Map<string, Endpoint>>()
  readonly #prefixes: { readonly prefix: string; readonly methods: Map<string, Endpoint> }[] = []

  add(method: 'GET' | 'POST' | 'DELETE', path: string, endpoint: Endpoint): void {
    if (!path.endsWith('/*')) {
      const methods = this.#exact.get(path) ?? new Map<string, Endpoint>()
      this.#exact.set(path, methods.set(method, endpoint))
      return
    }
    const prefix = path.slice(0, -1)
    const known = this.#prefixes.find(candidate => candidate.prefix === prefix)
    if (known !== undefined) known.methods.set(method, endpoint)
    else this.#prefixes.push({ prefix, methods: new Map([[method, endpoint]]) })
  }

  /** @throws not_found, method_not_allowed */
  find(method: string, path: string): Match {
    const place = this.#at(path)
    if (place === undefined) {
      throw new OperationError('not_found', `There is nothing at ${printable(path)}`, {
        origin: 'client',
      })
    }
    const endpoint = place.methods.get(method === 'HEAD' ? 'GET' : method)
    if (endpoint !== undefined) return { endpoint, rest: decode(place.rest) }
    const allowed = this.methodsAt(path).join(', ')
    const message = `${printable(path)} does not take ${method}; it takes ${allowed}`
    throw new OperationError('method_not_allowed', message, { origin: 'client' })
  }

  /** The methods that a path takes; none where there is nothing. */
  methodsAt(path: string): readonly string[] {
    const methods = [...(this.#at(path)?.methods.keys() ?? [])]
    return methods.flatMap(method => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
  }

  #at(path: string): Place | undefined {
    const exact = this.#exact.get(path) ?? this.#exact.get(path.replace(/\/+$/, ''))
    if (exact !== undefined) return { methods: exact, rest: '' }
    const below = this.#prefixes.find(({ prefix }) => path.startsWith(prefix))
    if (below === undefined) return undefined
    return { methods: below.methods, rest: path.slice(below.prefix.length) }
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A malformed escape names nothing that exists: the endpoint answers 404 for the raw text.
    return text
  }
}

function printable(path: string): string {
  return path.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, '?')
}
