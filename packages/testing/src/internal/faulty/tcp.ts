/** The proxy of `Faulty.tcp`. */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import { Board } from "./board.ts"
import * as Port from "./port.ts"
import { attempt, Script } from "./script.ts"

interface Chunk {
  readonly from: "client" | "server"
  readonly bytes: Uint8Array
  readonly text: string
}

type Connection =
  | { readonly _tag: "pass" }
  | { readonly _tag: "hang" }
  | { readonly _tag: "reset" }
  | { readonly _tag: "delay"; readonly by: number }
  | { readonly _tag: "cut"; readonly when: (chunk: Chunk) => boolean; readonly forward: boolean }

interface State {
  readonly accepted: number
  readonly connections: number
  readonly cuts: number
}

type Steps = ReadonlyArray<Connection> | ((n: number) => Connection)

interface Target {
  readonly host: string
  readonly port: number
}

/** The two sockets of a forwarded connection. */
interface Pair {
  readonly client: Net.Socket
  readonly server: Net.Socket | undefined
}

export class TcpProxy {
  readonly board = new Board<State>({ accepted: 0, connections: 0, cuts: 0 })
  port = 0
  private readonly target: Target
  readonly script: Script<Connection, [n: number]>
  private server: Net.Server | undefined
  private readonly pairs = new Set<Pair>()
  /** What is to be done when bytes may pass again; `undefined` while they may. */
  private held: Array<() => void> | undefined

  private constructor(target: Target, steps: Steps) {
    this.target = target
    this.script = new Script(steps, { _tag: "reset" })
  }

  static start(target: Target, steps: Steps): Effect.Effect<TcpProxy> {
    return Effect.suspend(() => {
      const proxy = new TcpProxy(target, steps)
      return Effect.as(proxy.accept, proxy)
    })
  }

  readonly accept: Effect.Effect<void> = Effect.suspend(() => {
    if (this.server !== undefined) return Effect.void
    const server = Net.createServer({ allowHalfOpen: true }, (client) => this.connected(client))
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
      for (const pair of this.pairs) destroy(pair)
      return closed
    })
  })

  get stop(): Effect.Effect<void> {
    return this.refuse
  }

  cutAll(): void {
    for (const pair of [...this.pairs]) this.cut(pair)
  }

  hold(): void {
    this.held ??= []
  }

  release(): void {
    const { held } = this
    this.held = undefined
    for (const go of held ?? []) go()
  }

  private cut({ client, server }: Pair): void {
    if (client.destroyed) return
    this.board.update((state) => ({ ...state, cuts: state.cuts + 1 }))
    client.resetAndDestroy()
    server?.destroy()
  }

  private connected(client: Net.Socket): void {
    this.board.update((state) => ({ ...state, accepted: state.accepted + 1, connections: state.connections + 1 }))
    client.on("error", () => {})
    const behaviour = this.script.next(this.board.state.accepted)
    const pair: Pair = {
      client,
      server: behaviour._tag === "reset" || behaviour._tag === "hang" ? undefined : this.connect()
    }
    this.pairs.add(pair)
    client.once("close", () => {
      this.pairs.delete(pair)
      pair.server?.destroy()
      this.board.update((state) => ({ ...state, connections: state.connections - 1 }))
    })
    if (behaviour._tag === "reset") {
      this.cut(pair)
      return
    }
    if (pair.server === undefined) {
      client.resume()
      return
    }
    pair.server.once("close", () => client.destroy())
    this.forward(pair, "client", behaviour)
    this.forward(pair, "server", behaviour)
  }

  private connect(): Net.Socket {
    const server = Net.connect({ ...this.target, allowHalfOpen: true })
    server.on("error", () => {})
    return server
  }

  private forward(pair: Pair, from: Chunk["from"], behaviour: Connection): void {
    const [source, target] = from === "client" ? [pair.client, pair.server] : [pair.server, pair.client]
    if (source === undefined || target === undefined) return
    source.on("data", (bytes: Buffer) => this.later(behaviour, () => this.pass(pair, from, bytes, target, behaviour)))
    source.once("end", () => this.later(behaviour, () => void target.end()))
  }

  private later(behaviour: Connection, go: () => void): void {
    const now = (): void => {
      if (this.held === undefined) go()
      else this.held.push(go)
    }
    if (behaviour._tag === "delay") setTimeout(now, behaviour.by)
    else now()
  }

  private pass(pair: Pair, from: Chunk["from"], bytes: Buffer, target: Net.Socket, behaviour: Connection): void {
    if (target.destroyed) return
    // What throws cuts.
    const matches = (when: (chunk: Chunk) => boolean): boolean =>
      attempt(() => when({ from, bytes, text: bytes.toString("latin1") }), true)
    if (behaviour._tag !== "cut" || !matches(behaviour.when)) {
      target.write(bytes)
      return
    }
    if (behaviour.forward) target.write(bytes, () => this.cut(pair))
    else this.cut(pair)
  }
}

const destroy = ({ client, server }: Pair): void => {
  client.destroy()
  server?.destroy()
}
