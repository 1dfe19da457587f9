/** A process: an HTTP server of finite capacity that goes through the script. */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { say, told } from "./messages.ts"
import { random } from "./random.ts"
import { ends, lengthOf, phaseAt } from "./script.ts"
import { deadline, now, tick } from "./settings.ts"
import { queueFor, Workers, workersFor } from "./workers.ts"

const { begin, start } = told()
const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => receive(response))
let receive = (response: ServerResponse): unknown => response.end()

/** After a time of not listening, somebody else may hold the port for a moment. */
const listen = (port: number, retries = 200): Promise<number> =>
  new Promise((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE" || retries === 0) return reject(error)
      setTimeout(() => resolve(listen(port, retries - 1)), 10)
    }
    server.once("error", refused)
    server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => {
      server.off("error", refused)
      resolve((server.address() as AddressInfo).port)
    })
  })

const port = await listen(0)
say({ _tag: "Ready", port })

const { run } = await start
const { script } = run
const workers = new Workers({
  workers: workersFor(run.rate),
  maxQueue: queueFor(run.rate),
  random: random(run.seed)
})
const received = script.map(() => 0)
let startsAt = Infinity
const at = () => now() - startsAt

receive = (response) => {
  const phase = phaseAt(script, at())
  if (received[phase] !== undefined) received[phase] += 1
  workers.handle((status) => response.writeHead(status, { "content-length": 0 }).end())
}

const enter = (phase: number): void => {
  const mode = script[phase]?.mode ?? "healthy"
  if (mode === "down") {
    server.close()
    server.closeAllConnections()
    workers.crash()
  } else if (workers.mode === "down") {
    void listen(port)
  }
  workers.enter(mode)
}

startsAt = (await begin).startsAt
ends(script).forEach((end, phase) => {
  setTimeout(() => enter(phase + 1), end - at())
})
setInterval(() => say({ _tag: "Tick", received, last: false }), tick)
setTimeout(() => say({ _tag: "Tick", received, last: true }), lengthOf(script) + deadline - at())
