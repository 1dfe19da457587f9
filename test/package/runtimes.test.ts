/** Bun and Deno: the core, its timers, the protected HTTP client and a board in SQLite, on their own runtime and their own `fetch`. */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Effect } from "effect"
import { rolldown } from "rolldown"

/** Prints what each part does; the address of a server that answers 503, hangs, and then is well is its argument. */
const program = `
import { Effect, Logger } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { Bulkhead, CircuitBreaker, Deadline, Policy, Retry, Timeout, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import * as Promises from "effect-resilience/promise/Promises"
import * as Sqlite from "effect-resilience/shared/Sqlite"

const [url, path] = globalThis.Deno?.args ?? process.argv.slice(2)
class Busy extends Transient.TaggedError()("Busy", {}) {}
const tag = (effect) => Effect.match(effect, { onSuccess: String, onFailure: (error) => error._tag })

const calls = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make("breaker", { trip: TripPolicy.consecutive(1), openFor: "1 minute" })
  const bulkhead = yield* Bulkhead.make("bulkhead", { maxConcurrent: 1 })
  const policy = yield* Policy.make("policy", { retry: Retry.backoff({ base: 5, times: 2 }), breaker: {}, timeout: 500 })
  let attempts = 0
  const flaky = Effect.suspend(() => ++attempts < 3 ? Effect.fail(new Busy()) : Effect.succeed("ok"))
  yield* Effect.exit(breaker.protect(Effect.fail(new Busy())))
  const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy))
  return {
    timeout: yield* tag(Timeout.after(Effect.never, 20)),
    deadline: yield* tag(Deadline.within(Effect.never, 20)),
    retry: yield* tag(policy.protect(flaky)),
    breaker: yield* tag(breaker.protect(Effect.void)),
    bulkhead: yield* tag(bulkhead.protect(bulkhead.protect(Effect.void))),
    http: yield* tag(Effect.flatMap(client.get(url), (response) => response.text))
  }
})
const outer = Promises.make("outer", { deadline: "50 millis" }, { transient: () => false })
const inner = Promises.make("inner", { deadline: "1 hour" }, { transient: () => false })
const nested = new Promise((resolve) => {
  outer.run(() => inner.run(() => new Promise(() => {})).catch((error) => resolve(error.policy))).catch(() => {})
})
const shared = Policy.make("shared", { breaker: {}, shared: { breaker: {} } })
const fleet = Effect.gen(function* () {
  const [here, there] = yield* Effect.all([shared, shared])
  yield* here.control.isolate({ by: "ann" })
  yield* Effect.sleep("20 millis").pipe(
    Effect.andThen(there.stats()),
    Effect.repeat({ until: ({ circuit }) => circuit._tag === "isolated", times: 100 })
  )
  return (yield* there.stats()).circuit._tag
}).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
console.log(JSON.stringify({
  fleet: await Effect.runPromise(Effect.provide(fleet, Sqlite.layer({ path }))),
  ...await Effect.runPromise(Effect.provide(calls, FetchHttpClient.layer)),
  nested: await nested
}))
`

const folder = mkdtempSync(join(tmpdir(), "runtimes-"))
const file = join(folder, "program.mjs")

beforeAll(async () => {
  // A file that exists in the bundler only, so that it imports what the repository does.
  const input = resolve("runtimes.js")
  const build = await rolldown({
    input,
    platform: "node",
    resolve: { conditionNames: ["@effect-resilience/source", "import", "default"] },
    plugins: [
      {
        name: "program",
        resolveId: (id) => (id === input ? id : null),
        load: (id) => (id === input ? program : null)
      }
    ]
  })
  const { output } = await build.generate({ format: "esm" })
  writeFileSync(file, output[0].code)
})

afterAll(() => rmSync(folder, { force: true, recursive: true }))

describe("the core, the HTTP client and the board in SQLite", () => {
  for (const [runtime, args] of [
    ["bun", ["run"]],
    ["deno", ["run", "--allow-all", "--no-config"]]
  ] as const) {
    it.live(`work on ${runtime}`, () =>
      Effect.gen(function* () {
        const server = yield* Faulty.http({
          script: [Faulty.answer({ status: 503 }), Faulty.reset, Faulty.answer({ body: "well" })]
        })
        const run = promisify(execFile)(resolve("node_modules/.bin", runtime), [
          ...args,
          file,
          server.url,
          join(folder, `${runtime}.db`)
        ])
        const { stdout } = yield* Effect.promise(() => run)
        assert.deepStrictEqual(JSON.parse(stdout), {
          fleet: "isolated",
          timeout: "TimedOut",
          deadline: "DeadlineExceeded",
          retry: "ok",
          breaker: "CircuitOpen",
          bulkhead: "BulkheadFull",
          http: "well",
          nested: "inner"
        })
      }).pipe(Effect.scoped)
    )
  }
})
