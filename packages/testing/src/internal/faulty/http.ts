/** The HTTP server of `Faulty.http`, on Node's own. */
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Effect from "effect/Effect"
import { Board } from "./board.ts"
import * as Port from "./port.ts"
import { Script } from "./script.ts"

interface Answer {
  readonly _tag: "answer"
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body: string | Uint8Array
  readonly cutAfter: number | undefined
  readonly stallAfter: number | undefined
  readonly pace: { readonly bytes: number; readonly every: number } | undefined
}

type Behaviour = Answer | { readonly _tag: "hang" } | { readonly _tag: "reset" }

interface Received {
  readonly n: number
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly bytes: number
}

interface State {
  readonly requests: ReadonlyArray<Received>
  readonly connections: number
  readonly aborted: number
}

type Steps = ReadonlyArray<Behaviour> | ((request: Received, n: number) => Behaviour)

export class HttpServer {
  readonly board = new Board<State>({ requests: [], connections: 0, aborted: 0 })
  port = 0
  readonly script: Script<Behaviour, [request: Received, n: number]>
  private server: Http.Server | undefined
  private readonly sockets = new Set<Net.Socket>()

  private constructor(steps: Steps) {
    this.script = new Script(steps, { _tag: "reset" })
  }

  static start(steps: Steps): Effect.Effect<HttpServer> {
    return Effect.suspend(() => {
      const server = new HttpServer(steps)
      return Effect.as(server.accept, server)
    })
  }

  readonly accept: Effect.Effect<void> = Effect.suspend(() => {
    if (this.server !== undefined) return Effect.void
    // Timeouts of the server would end what hangs on purpose.
    const server = Http.createServer(
      { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 },
      (request, response) => this.receive(request, response)
    )
    server.on("clientError", (_, socket) => socket.destroy())
    server.on("connection", (socket) => this.connected(socket))
    this.server = server
    return Effect.map(Port.listen(server, this.port), (port) => {
      this.port = port
    })
  })

  readonly refuse: Effect.Effect<void> = Effect.suspend(() => {
    const { server } = this
    if (server === undefined) return Effect.void
    this.server = undefined
    const closed = Port.close(server)
    return Effect.suspend(() => {
      for (const socket of this.sockets) socket.destroy()
      return closed
    })
  })

  get stop(): Effect.Effect<void> {
    return this.refuse
  }

  private connected(socket: Net.Socket): void {
    this.sockets.add(socket)
    this.board.update((state) => ({ ...state, connections: state.connections + 1 }))
    // A client that resets the connection is what tests are about.
    socket.on("error", () => {})
    socket.once("close", () => {
      this.sockets.delete(socket)
      this.board.update((state) => ({ ...state, connections: state.connections - 1 }))
    })
  }

  private receive(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const chunks: Array<Uint8Array> = []
    request.on("error", () => {})
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk))
    request.once("end", () => {
      const body = Buffer.concat(chunks)
      const n = this.board.state.requests.length + 1
      const received: Received = {
        n,
        method: request.method ?? "",
        url: request.url ?? "",
        headers: Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(", ") : (value ?? "")
          ])
        ),
        body: body.toString("utf8"),
        bytes: body.length
      }
      response.once("close", () => {
        if (response.writableFinished || this.server === undefined) return
        this.board.update((state) => ({ ...state, aborted: state.aborted + 1 }))
      })
      this.board.update((state) => ({ ...state, requests: [...state.requests, received] }))
      this.behave(this.script.next(received, n), request.socket, response)
    })
  }

  private behave(behaviour: Behaviour, socket: Net.Socket, response: Http.ServerResponse): void {
    switch (behaviour._tag) {
      case "hang":
        return
      case "reset":
        socket.resetAndDestroy()
        return
      case "answer":
        answer(behaviour, socket, response)
    }
  }
}

const answer = (behaviour: Answer, socket: Net.Socket, response: Http.ServerResponse): void => {
  const { cutAfter, headers, pace, stallAfter, status } = behaviour
  const body = typeof behaviour.body === "string" ? Buffer.from(behaviour.body) : behaviour.body
  const given = Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : [...value]])
  const hasLength = given.some(([name]) => String(name).toLowerCase() === "content-length")
  // No body is allowed with these.
  const length = hasLength || status === 204 || status === 304 ? {} : { "content-length": String(body.length) }
  response.writeHead(status, { ...Object.fromEntries(given), ...length })
  const end = cutAfter ?? stallAfter ?? body.length
  const finish = (): void => {
    if (cutAfter !== undefined) socket.destroy()
    else if (stallAfter === undefined) response.end()
  }
  if (pace !== undefined) {
    paced(body.subarray(0, end), pace, socket, response, finish)
    return
  }
  if (end === body.length && cutAfter === undefined && stallAfter === undefined) {
    response.end(body)
    return
  }
  response.flushHeaders()
  if (end === 0) {
    // After the headers have been handed to the socket.
    setImmediate(finish)
    return
  }
  response.write(body.subarray(0, end), finish)
}

const paced = (
  body: Uint8Array,
  { bytes, every }: { readonly bytes: number; readonly every: number },
  socket: Net.Socket,
  response: Http.ServerResponse,
  finish: () => void
): void => {
  let sent = 0
  response.flushHeaders()
  const timer = setInterval(() => {
    if (sent < body.length) response.write(body.subarray(sent, sent + bytes))
    sent += bytes
    if (sent < body.length) return
    clearInterval(timer)
    finish()
  }, every)
  socket.once("close", () => clearInterval(timer))
}
