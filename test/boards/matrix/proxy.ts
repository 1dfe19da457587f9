/** A way to a server on this machine that can be cut. */
import { connect, createServer, type Server, type Socket } from "node:net"

export class Proxy {
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private isCut = false
  port = 0

  private constructor(target: number) {
    this.server = createServer((near) => {
      if (this.isCut) return void near.destroy()
      const far = connect(target, "127.0.0.1")
      const end = () => {
        for (const socket of [near, far]) {
          socket.destroy()
          this.sockets.delete(socket)
        }
      }
      for (const socket of [near, far]) {
        this.sockets.add(socket)
        socket.on("error", end).on("close", end)
      }
      near.pipe(far)
      far.pipe(near)
    })
  }

  static start(target: number): Promise<Proxy> {
    const proxy = new Proxy(target)
    return new Promise((resolve, reject) => {
      proxy.server.once("error", reject)
      proxy.server.listen(0, "127.0.0.1", () => {
        const address = proxy.server.address()
        proxy.port = typeof address === "object" && address !== null ? address.port : 0
        resolve(proxy)
      })
    })
  }

  cut(isCut: boolean): void {
    this.isCut = isCut
    if (isCut) for (const socket of this.sockets) socket.destroy()
  }

  stop(): void {
    this.cut(true)
    this.server.close()
  }
}
