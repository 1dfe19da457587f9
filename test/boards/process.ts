/** One process of a fleet: it calls a dependency every 20 ms, and does what its parent says. */
import { DatabaseSync } from "node:sqlite"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Duration, Effect, Layer } from "effect"
import { Policy, Transient, TripPolicy } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"

export type Order =
  | { readonly isDown: boolean }
  | { readonly say: "isolate" | "close" }
  | { readonly hold: true }
  | { readonly ask: number }

export interface Report {
  readonly ask: number
  readonly state: string | undefined
  readonly members: number
  readonly inTouch: boolean
  /** Attempts that reached the dependency. */
  readonly sent: number
  readonly calls: number
  /** The longest that a call waited before it reached the dependency or was rejected, in milliseconds. */
  readonly longest: number
}

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const [backend, where] = process.argv.slice(2)
if (backend === undefined || where === undefined) throw new Error("process.ts backend where")

const board =
  backend === "sqlite"
    ? SharedSqlite.layer({ path: where })
    : SharedRedis.layer().pipe(
        Layer.provide(
          NodeRedis.layer({
            socket: { host: "127.0.0.1", port: Number(where), connectTimeout: 500, reconnectStrategy: 50 },
            disableOfflineQueue: true
          })
        )
      )

const program = Effect.gen(function* () {
  const policy = yield* Policy.make("fleet", {
    breaker: { trip: TripPolicy.consecutive(5), openFor: { initial: "300 millis", jitter: 0 } },
    shared: { breaker: { rejoin: "close" } }
  })
  let isDown = false
  let sent = 0
  let calls = 0
  let longest = 0
  const call = Effect.suspend(() => {
    const at = performance.now()
    calls += 1
    const work = Effect.suspend(() => {
      sent += 1
      longest = Math.max(longest, performance.now() - at)
      return isDown ? Effect.fail(new Down()) : Effect.void
    })
    return Effect.exit(work.pipe(policy.protect))
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(call, Effect.sleep("20 millis"))))
  const context = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  process.on("message", (order: Order) => {
    if ("isDown" in order) isDown = order.isDown
    else if ("say" in order)
      run(order.say === "isolate" ? policy.control.isolate({ by: "ann" }) : policy.control.close())
    else if ("hold" in order) {
      // A writer that is stopped inside its transaction.
      const database = new DatabaseSync(where)
      database.exec("BEGIN IMMEDIATE")
      process.send?.({ held: true })
      process.kill(process.pid, "SIGSTOP")
    } else {
      run(
        Effect.gen(function* () {
          const fleet = yield* policy.fleet
          const report: Report = {
            ask: order.ask,
            state: (yield* policy.stats()).circuit?._tag,
            members: fleet?.members ?? 0,
            inTouch: fleet?.inTouch === true,
            sent,
            calls,
            longest
          }
          process.send?.(report)
        })
      )
    }
  })
  process.send?.({ ready: true })
  yield* Effect.sleep(Duration.infinity)
})

// The client of Redis warns of each reconnect.
console.warn = () => {}
Effect.runFork(program.pipe(Effect.scoped, Effect.provide(board)))
