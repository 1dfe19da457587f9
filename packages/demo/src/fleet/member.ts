/** A process of the fleet: calls over HTTP, protected by a policy that shares its circuit and its budget. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Policy, Retry, type Shared, Transient } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import { arrivals, openLoop } from "../load.ts"
import { type Command, type FromMember, say, told } from "../messages.ts"
import { lengthOf } from "../script.ts"
import { deadline, now, timeout } from "../settings.ts"
import {
  burst,
  capacity,
  every,
  evidence,
  floor,
  openFor,
  permits,
  rate,
  ratio,
  starts,
  tick,
  work
} from "./settings.ts"

const [backend, where = "", index = "0"] = process.argv.slice(2)

// The client of Redis warns of each reconnect.
console.warn = () => {}

const board: Layer.Layer<Shared.Board, unknown> =
  backend === "redis"
    ? SharedRedis.layer({ prefix: "demo" }).pipe(
        Layer.provide(
          NodeRedis.layer({
            socket: { host: "127.0.0.1", port: Number(where), connectTimeout: 500, reconnectStrategy: 100 },
            disableOfflineQueue: true
          })
        )
      )
    : SharedSqlite.layer({ path: where })

type Seen = Extract<FromMember, { readonly _tag: "Seen" }>

const program = Effect.gen(function* () {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const { begin, start } = told()
  const policy = yield* Policy.make("upstream", {
    deadline,
    timeout,
    retry: Retry.backoff({ base: "50 millis", times: 1 }),
    budget: { ratio, minPerSecond: floor, capacity, initial: 0, timeoutCost: 1 },
    breaker: { openFor: { initial: openFor } },
    shared: { breaker: { window: evidence, rejoin: "close" }, budget: true }
  })

  // What comes before the board has kept a share for a process would come on top.
  const alone = 0
  const reports = yield* Policy.make("reports", {
    timeout: "1 second",
    bulkhead: { maxConcurrent: permits },
    rateLimit: { limit: starts, window: "1 second", burst },
    shared: { bulkhead: { fleet: permits, alone }, rateLimit: { fleet: starts, alone } }
  })

  let held: Array<Seen["held"][number]> = []
  let sent: Array<number> = []
  let transitions: Array<Seen["transitions"][number]> = []
  let rejected: Array<number> = []
  let toldAt = now()

  yield* policy.events.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag === "Transition") transitions.push({ at: event.at, to: event.to, cause: event.cause })
      })
    ),
    Effect.forkScoped
  )

  const tell = Effect.gen(function* () {
    const { circuit, totals } = yield* policy.stats()
    const fleet = yield* policy.fleet
    const late = Math.max(0, now() - toldAt - tick)
    toldAt = now()
    say({
      _tag: "Seen",
      state: circuit?._tag ?? "closed",
      inTouch: fleet?.inTouch === true,
      hasLease: fleet?.circuits.some(({ probe }) => probe) === true,
      members: fleet?.members ?? 0,
      sent,
      held,
      transitions,
      rejected,
      calls: totals.calls,
      retries: totals.retries,
      late
    })
    sent = []
    held = []
    transitions = []
    rejected = []
  })

  const run = Effect.runForkWith(yield* Effect.context<never>())
  process.on("message", (message: Command) => {
    if (message._tag !== "Command") return
    run(message.command === "isolate" ? policy.control.isolate({ by: "ann" }) : policy.control.close({ by: "ann" }))
  })

  say({ _tag: "Ready" })
  const { port, run: settings } = yield* Effect.promise(() => start)
  const { script, seed } = settings
  const get = client.get(`http://127.0.0.1:${port}/`).pipe(Effect.flatMap((response) => response.text))
  const request = Effect.andThen(
    Effect.map(Clock.currentTimeMillis, (at) => sent.push(at)),
    get
  )
  const call = Effect.suspend(() => {
    const from = now()
    let hasStarted = false
    const attempt = Effect.suspend(() => {
      hasStarted = true
      return request
    })
    return Effect.onExit(attempt.pipe(Transient.known, policy.protect), () =>
      Effect.sync(() => {
        if (!hasStarted) rejected.push(now() - from)
      })
    ).pipe(Effect.exit, Effect.asVoid)
  })

  // Also while all is well: connections and code are warm when the script begins.
  yield* Effect.forkScoped(Effect.repeat(tell, Schedule.fixed(tick)))
  const startsAt = yield* Effect.promise(() => begin)
  const report = Effect.flatMap(Clock.currentTimeMillis, (from) =>
    Effect.andThen(
      Effect.sleep(work),
      Effect.map(Clock.currentTimeMillis, (to) => held.push({ from, to }))
    )
  ).pipe(reports.protect, Effect.exit)
  yield* Effect.forkScoped(Effect.repeat(Effect.forkScoped(report), Schedule.fixed(every)))
  const due = arrivals({ rate, seed: seed + Number(index), from: 0, to: lengthOf(script) })
  yield* openLoop(
    due,
    () => now() - startsAt.startsAt,
    () => call
  )
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, board]))

Effect.runFork(program).addObserver((exit) => {
  if (Exit.isFailure(exit)) console.error(Cause.pretty(exit.cause))
  process.exit(1)
})
