import { createServer } from "node:net"

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/**
 * A port of the loopback interface that was free a moment ago. It is below those that systems give to clients and to servers that ask for
 * any: of the thousands of connections of other tests none takes it before the server that it is for.
 */
export const freePort = async (): Promise<number> => {
  for (let tries = 1; ; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    if (await isFree(port)) return port
    if (tries === 100) throw new Error("no port of 100 is free")
  }
}
