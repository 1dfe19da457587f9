/** A process: the dependency of a scenario, as an HTTP server on loopback that goes through its faults. */
import { createServer } from "node:http"
import type { Socket } from "node:net"
import { timelineOf } from "../../../../lab/src/internal/timeline.ts"
import { now } from "./clock.ts"
import { type Served, say, told } from "./messages.ts"
import { Job, Workers } from "./workers.ts"

const { begin, report } = told()
// Idle connections stay: one that the server ends just when it is used again would be a fault that nobody ordered.
const server = createServer({ keepAliveTimeout: 0 })
const sockets = new Set<Socket>()
server.on("connection", (socket) => {
  sockets.add(socket)
  socket.once("close", () => sockets.delete(socket))
  // A client that hangs up says so by a reset.
  socket.on("error", () => {})
})

const listen = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => {
      server.off("error", reject)
      resolve()
    })
  })

/**
 * A port below those that systems give to clients: while nobody listens, a client could be given the very port that it
 * connects to, and would talk to itself.
 */
const findPort = async (): Promise<number> => {
  for (let tries = 1; ; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    try {
      await listen(port)
      return port
    } catch (error) {
      if (tries === 20) throw error
    }
  }
}

const port = await findPort()
say<Served>({ _tag: "Ready", port })

const { scenario, seed, startsAt } = await begin
const timeline = timelineOf(scenario).map(({ at, shards: [condition] }) => {
  if (condition === undefined) throw new Error("a scenario without shards")
  return { at, condition }
})
const first = timeline[0]?.condition
if (first === undefined) throw new Error("a timeline without a beginning")
const workers = new Workers(scenario, seed, startsAt, first)

server.on("request", (_request, response) => {
  const job = new Job(now(), (status) => response.writeHead(status, { "content-length": 0 }).end())
  response.once("close", () => {
    if (!response.writableFinished) workers.hungUp(job)
  })
  workers.handle(job)
})

let isDown = false
for (const { at, condition } of timeline) {
  setTimeout(
    () => {
      workers.change(condition)
      if (condition.down && !isDown) {
        server.close()
        for (const socket of sockets) socket.resetAndDestroy()
      } else if (!condition.down && isDown) {
        void listen(port)
      }
      isDown = condition.down
    },
    Math.max(0, startsAt + at - now())
  )
}

await report
say<Served>({
  _tag: "Done",
  report: { lag: workers.lateness.lag, worked: workers.worked, wasted: workers.wasted }
})
