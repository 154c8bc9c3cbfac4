import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { isJsonObject, type JsonObject } from '../../src/std/json.ts'

/** One request that a test upstream received, and its reply. */
export interface Exchange {
  readonly route: string
  readonly headers: IncomingHttpHeaders
  /** The parsed JSON body; empty where there was none. */
  readonly body: JsonObject
  readonly response: ServerResponse
  /** Resolves when the connection is closed before the reply was ended. */
  readonly cutOff: Promise<void>
  json(value: unknown, status?: number, headers?: { [name: string]: string }): void
  /** Begins an SSE reply, if none has begun, and writes text as it is. */
  write(text: string): void
  /** Writes events: strings as they are, everything else as JSON. */
  events(...data: readonly unknown[]): void
}

export type Route = (exchange: Exchange) => void | Promise<void>
/** By `METHOD /path`. What is not here gets 404. */
export interface Routes {
  readonly [route: string]: Route
}

export interface TestUpstream {
  readonly url: string
  readonly port: number
  readonly received: readonly Exchange[]
  readonly openConnections: () => number
  /** Resolves when no connection is open. */
  readonly idle: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** A real HTTP server on loopback that speaks whatever dialect its routes speak. */
export async function startTestUpstream(routes: Routes): Promise<TestUpstream> {
  const received: Exchange[] = []
  const sockets = new Set<Socket>()
  const idleWaiters: (() => void)[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const route = `${request.method} ${request.url}`
    const exchange = exchangeOf(route, request.headers, Buffer.concat(chunks), response)
    received.push(exchange)
    const answer = routes[route]
    if (answer === undefined) exchange.json({ error: { message: 'no such path' } }, 404)
    else await answer(exchange)
  })
  // Clients are told that they may keep connections for long: only who closes them passes `idle`.
  server.keepAliveTimeout = 600_000
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) for (const resolve of idleWaiters.splice(0)) resolve()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    openConnections: () => sockets.size,
    idle: () =>
      sockets.size === 0
        ? Promise.resolve()
        : new Promise(resolve => {
            idleWaiters.push(resolve)
          }),
    stop: async () => {
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function exchangeOf(
  route: string,
  headers: IncomingHttpHeaders,
  bytes: Buffer,
  response: ServerResponse,
): Exchange {
  const parsed: unknown = bytes.length === 0 ? {} : JSON.parse(bytes.toString('utf8'))
  const write = (text: string): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(text)
  }
  return {
    route,
    headers,
    body: isJsonObject(parsed) ? parsed : {},
    response,
    cutOff: new Promise(resolve => {
      response.on('close', () => {
        if (!response.writableEnded) resolve()
      })
    }),
    json: (value, status = 200, replyHeaders = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...replyHeaders })
      response.end(JSON.stringify(value))
    },
    write,
    events: (...data) => {
      for (const item of data) {
        write(`data: ${typeof item === 'string' ? item : JSON.stringify(item)}\n\n`)
      }
    },
  }
}

/** `GET /v1/models` that lists these names as OpenAI does. */
export function modelList(...names: readonly string[]): Route {
  return exchange =>
    exchange.json({
      object: 'list',
      data: names.map(id => ({ id, object: 'model', created: 1, owned_by: 'test' })),
    })
}
