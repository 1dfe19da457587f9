/** Ports of loopback: to listen on one, and to find one on which nothing listens. */
import * as Net from "node:net"
import * as Effect from "effect/Effect"

const host = "127.0.0.1"

/** Listens on a port, 0 for a free one, and returns it. */
export const listen = (server: Net.Server, port: number): Effect.Effect<number> =>
  Effect.callback((resume) => {
    const fail = (error: Error) => resume(Effect.die(error))
    server.once("error", fail)
    server.listen(port, host, () => {
      server.off("error", fail)
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Stops listening; resolves when every connection is closed. */
export const close = (server: Net.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
  })

export const freePort: Effect.Effect<number> = Effect.suspend(() => {
  const server = Net.createServer()
  return Effect.tap(listen(server, 0), () => close(server))
})
