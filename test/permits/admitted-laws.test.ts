/** Any program of calls, operators and time: who watches has returned exactly when a call would be admitted. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Policy, type Stats } from "effect-resilience"
import { Down, settle, start, touchy } from "../policy/support.ts"
import { sample } from "../support/sample.ts"

const small = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("call") }),
  Schema.Struct({ _tag: Schema.Literal("hold") }),
  Schema.Struct({ _tag: Schema.Literal("end"), who: small(0, 9), how: Schema.Literals(["ok", "down", "interrupt"]) }),
  Schema.Struct({ _tag: Schema.Literal("watch") }),
  Schema.Struct({ _tag: Schema.Literal("leave"), who: small(0, 9) }),
  Schema.Struct({ _tag: Schema.Literal("forward"), millis: Schema.Literals([1, 500, 4999, 5000, 10_000]) }),
  Schema.Struct({ _tag: Schema.Literal("resize"), to: small(1, 3) }),
  Schema.Struct({
    _tag: Schema.Literal("control"),
    command: Schema.Literals(["isolate", "close", "reset", "disable", "enable"])
  })
])

const probes = { permitted: 2, successes: 2, lease: "10 seconds" } as const
const make = Policy.make("users", { breaker: { ...touchy, probes }, bulkhead: { maxConcurrent: 2, maxQueued: 2 } })

/** Read off the stats, as an operator would. */
const wouldAdmit = ({ circuit, maxConcurrent = 0, running, waiting }: Stats.Stats): boolean => {
  if (running >= maxConcurrent || waiting > 0) return false
  if (circuit?._tag === "half-open") return circuit.due || circuit.probing + circuit.successes < probes.permitted
  return circuit?._tag === "closed" || circuit?._tag === "disabled"
}

describe("admitted", () => {
  it.effect.prop(
    "a watcher has returned if and only if a call would be admitted, after every step",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(40)) },
    ({ steps }) =>
      Effect.gen(function* () {
        const users = yield* make
        const calls: Array<{ end: Deferred.Deferred<string, Down>; fiber: Fiber.Fiber<unknown, unknown> }> = []
        const watchers: Array<Fiber.Fiber<void>> = []
        for (const step of steps) {
          const before = wouldAdmit(yield* users.stats())
          switch (step._tag) {
            case "call":
            case "hold": {
              const end = yield* Deferred.make<string, Down>()
              const work = Deferred.await(end)
              const call =
                step._tag === "call" ? users.protect(work) : Effect.scoped(Effect.andThen(users.acquire(), work))
              calls.push({ end, fiber: yield* start(Effect.exit(call)) })
              break
            }
            case "end": {
              const call = calls[step.who]
              if (call === undefined) break
              if (step.how === "ok") yield* Deferred.succeed(call.end, "ok")
              else if (step.how === "down") yield* Deferred.fail(call.end, new Down())
              else yield* Fiber.interrupt(call.fiber)
              calls.splice(step.who, 1)
              break
            }
            case "watch":
              watchers.push(yield* start(users.admitted()))
              assert.strictEqual(watchers.at(-1)?.pollUnsafe() !== undefined, before, "at once")
              break
            case "leave": {
              const [watcher] = watchers.splice(step.who, 1)
              if (watcher !== undefined) yield* Fiber.interrupt(watcher)
              break
            }
            case "forward":
              yield* TestClock.adjust(step.millis)
              break
            case "resize":
              yield* users.control.resize(step.to)
              break
            case "control":
              yield* users.control[step.command]()
          }
          yield* settle
          const admits = wouldAdmit(yield* users.stats())
          const waiting = watchers.filter((watcher) => watcher.pollUnsafe() === undefined)
          if (admits) assert.lengthOf(waiting, 0, step._tag)
          else assert.lengthOf(waiting, watchers.length, step._tag)
          if (admits) watchers.length = 0
        }
        for (const { fiber } of calls) yield* Fiber.interrupt(fiber)
        for (const watcher of watchers) yield* Fiber.interrupt(watcher)
        const { running, waiting } = yield* users.stats()
        assert.deepStrictEqual([running, waiting], [0, 0])
      }),
    { arbitrary: { runs: sample(100, 300), size: 40, seed: 1 } }
  )
})
