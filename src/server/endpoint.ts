import type { IncomingHttpHeaders } from 'node:http'
import type { ApiName } from '../interface/metrics.ts'
import type { Scope } from '../key/scope.ts'
import type { JsonObject } from '../std/json.ts'
import type { ErrorEncoder, WireFormat } from './wire-format.ts'

/** What stands behind a method and a path. */
export type Endpoint = CompletionEndpoint | PlainEndpoint

/** Asks a model and goes through the cache. */
export interface CompletionEndpoint {
  readonly kind: 'completion'
  readonly format: WireFormat
  readonly encodeError: ErrorEncoder
  /**
   * Answers bodies that ask for no completion (Ollama's way to load a model); undefined for those
   * that do.
   */
  readonly answerOther?: (body: JsonObject) => string | undefined
}

/** Everything else: one body in, one body out. */
export interface PlainEndpoint {
  readonly kind: 'plain'
  readonly api: ApiName
  /**
   * `client`: an API key where the node has some. `nobody`: open (health). `admin`: the token of
   * the data folder.
   */
  readonly access: 'client' | 'nobody' | 'admin'
  readonly encodeError: ErrorEncoder
  handle(call: PlainCall): Promise<PlainReply> | PlainReply
}

export interface PlainCall {
  /** The rest of the path behind a prefix endpoint's own, decoded; empty otherwise. */
  readonly rest: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly scope: Scope
  readonly signal: AbortSignal
  /** The parsed JSON body. @throws request_invalid, body_too_large */
  json(): Promise<JsonObject>
  bytes(): Promise<Uint8Array>
}

export interface PlainReply {
  readonly status?: number
  readonly contentType?: string
  readonly headers?: { readonly [name: string]: string }
  /** Sent as it is if text or bytes, else as JSON. */
  readonly body: unknown
}
