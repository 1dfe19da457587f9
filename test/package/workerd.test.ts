/**
 * Cloudflare's runtime, where a timer belongs to the request that set it: another request cannot use it, and it is dropped with
 * its own. So no two calls share a timer there.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { rolldown } from "rolldown"

/** Each request makes one call of the kind that its path names; all limits are 50 milliseconds. */
const worker = `
import { Effect, Schedule } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as Resilient from "effect-resilience/http/HttpClient"
import { Bulkhead, CircuitBreaker, Deadline, Policy, Retry, Timeout, Transient, TripPolicy } from "effect-resilience"

class Busy extends Transient.TaggedError()("Busy", {}) {}
const policy = Effect.runSync(Policy.make("p", { timeout: 50, breaker: { trip: TripPolicy.consecutive(1e6) } }))
const http = Effect.runSync(Policy.make("http", { retry: Retry.backoff({ base: 10, times: 2 }), timeout: 50 }))
const bulkhead = Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 100, maxWait: 50 }))

const calls = {
  timeout: () => Timeout.after(Effect.never, 50),
  deadline: () => Deadline.within(Effect.never, 50),
  policy: () => policy.protect(Effect.never),
  queue: () => bulkhead.protect(Timeout.after(Effect.never, 500)),
  retry: () => {
    let attempts = 0
    return Effect.suspend(() => ++attempts === 1 ? Effect.fail(new Busy()) : Effect.succeed("ok")).pipe(
      Retry.transient(Schedule.spaced(50))
    )
  },
  http: () =>
    Effect.suspend(() => {
      let requests = 0
      const server = HttpClient.make((request) =>
        ++requests === 2 ? Effect.never : Effect.succeed(
          HttpClientResponse.fromWeb(request, new Response("body", { status: requests === 1 ? 503 : 200 }))
        )
      )
      return server.pipe(Resilient.protect(http)).get("http://api.test/")
    }),
  quick: () => Timeout.after(Effect.sleep(5), 50)
}

export default {
  async fetch(request) {
    const call = calls[new URL(request.url).pathname.slice(1)]
    return new Response(await Effect.runPromise(Effect.match(Effect.suspend(call), {
      onSuccess: () => "ok",
      onFailure: (error) => error._tag
    })))
  }
}
`

const config = `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2025-06-01"
);
`

const folder = mkdtempSync(join(tmpdir(), "workerd-"))
let runtime: ChildProcess | undefined
let address = ""

const bundle = async () => {
  // A file that exists in the bundler only, so that it imports what the repository does.
  const input = join(process.cwd(), "worker.js")
  const build = await rolldown({
    input,
    platform: "browser",
    resolve: { conditionNames: ["@effect-resilience/source", "import", "default"] },
    plugins: [
      {
        name: "worker",
        resolveId: (id) => (id === input ? id : null),
        load: (id) => (id === input ? worker : null)
      }
    ]
  })
  const { output } = await build.generate({ format: "esm" })
  writeFileSync(join(folder, "worker.js"), output[0].code)
  writeFileSync(join(folder, "config.capnp"), config)
}

const listening = (control: Readable): Promise<string> =>
  new Promise((resolve, reject) => {
    let said = ""
    control.on("data", (data) => {
      said += String(data)
      const port = /"event":"listen","socket":"http","port":(\d+)/.exec(said)?.[1]
      if (port !== undefined) resolve(`http://127.0.0.1:${port}`)
    })
    control.on("end", () => reject(new Error(`workerd has ended: ${said}`)))
  })

beforeAll(async () => {
  await bundle()
  // The package has no types.
  const { default: binary }: { readonly default: string } = createRequire(import.meta.url)("workerd")
  const command = binary.endsWith(".js") ? process.execPath : binary
  const args = ["serve", "--control-fd=3", "config.capnp"]
  runtime = spawn(command, command === binary ? args : [binary, ...args], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit", "pipe"]
  })
  // The fourth is a pipe, as was asked for.
  address = await listening(runtime.stdio[3] as Readable)
})

afterAll(() => {
  runtime?.kill()
  rmSync(folder, { force: true, recursive: true })
})

const call = async (kind: string) => {
  const response = await fetch(`${address}/${kind}`, { signal: AbortSignal.timeout(10_000) })
  return `${response.status} ${await response.text()}`
}

/** Requests that overlap, each a little after the one before. */
const overlapping = (kind: string) =>
  Promise.all(
    Array.from({ length: 4 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, 10 * i))
      return call(kind)
    })
  )

describe("on Cloudflare's runtime", () => {
  const kinds = [
    ["timeout", "200 TimedOut"],
    ["deadline", "200 DeadlineExceeded"],
    ["policy", "200 TimedOut"],
    ["retry", "200 ok"],
    ["http", "200 ok"],
    ["quick", "200 ok"]
  ] as const
  for (const [kind, expected] of kinds) {
    it(`requests that overlap have timers of their own, and so have those after them: ${kind}`, async () => {
      for (let round = 0; round < 2; round++) {
        assert.deepStrictEqual(
          await overlapping(kind),
          Array.from({ length: 4 }, () => expected)
        )
      }
    })
  }

  it("a call that waits for a permit is rejected by a timer of its own", async () => {
    const [first, ...others] = await overlapping("queue")
    assert.strictEqual(first, "200 TimedOut")
    assert.deepStrictEqual(
      others,
      Array.from({ length: 3 }, () => "200 BulkheadFull")
    )
  })
})
