// A policy around `fetch`, without Effect: errors as they were thrown, a signal that aborts, a circuit per host.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Retry } from "effect-resilience"
import * as Promises from "effect-resilience/promise/Promises"

// A server that answers 503 twice.
let requests = 0
const server = createServer((_, response) => {
  requests += 1
  response.statusCode = requests < 3 ? 503 : 200
  response.end("well")
})
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

class Unavailable extends Error {}

const api = Promises.make(
  "api",
  {
    deadline: "5 seconds",
    retry: Retry.backoff({ base: "5 millis", times: 3 }),
    budget: {},
    breaker: {},
    timeout: "1 second"
  },
  // `fetch` rejects with a TypeError when it cannot connect.
  { transient: [Unavailable, TypeError] }
)

const get = (signal: AbortSignal) =>
  fetch(url, { signal }).then((response) => {
    if (response.status === 503) throw new Unavailable(`status ${response.status}`)
    return response.text()
  })

const text = await api.run(get, { key: new URL(url).host, signal: AbortSignal.timeout(10_000) })
console.log(`${text} after ${requests} requests`)
assert.equal(requests, 3)

// An abort rejects with its own reason.
const reason = await api.run(get, { signal: AbortSignal.abort("the user went away") }).catch((reason) => reason)
console.log(reason)
assert.equal(reason, "the user went away")

await api.dispose()
server.close()
