/** On the live clock. */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Policy, Retry, TripPolicy } from "effect-resilience"
import { down, hang, ok } from "../policy/support.ts"

/** Waits for what real timers do; the test itself has no limit but that of all tests. */
const until = (condition: Effect.Effect<boolean>): Effect.Effect<void> =>
  Effect.flatMap(condition, (holds) =>
    holds ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), until(condition))
  )

describe("observing on the live clock", () => {
  it.live("repeats, cuts and opens as enforcement would", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: Retry.backoff({ base: "1 millis", jitter: "none", times: 2 }),
        breaker: { trip: TripPolicy.consecutive(3), openFor: "1 hour" },
        timeout: "20 millis",
        mode: "observe"
      })
      const would = Effect.map(policy.stats(), (stats) => stats.would)
      const call = yield* Effect.forkChild(policy.protect(hang), { startImmediately: true })
      yield* until(Effect.map(would, (found) => found?.circuit?._tag === "open"))
      assert.deepInclude(yield* would, { timeouts: 3, retries: 2, openings: 1, running: 0 })
      assert.strictEqual(call.pollUnsafe(), undefined)
      assert.strictEqual(yield* policy.protect(ok), "ok")
      assert.strictEqual((yield* would)?.rejections.CircuitOpen, 1)
    })
  )

  it.live("settles before the caller goes on", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        breaker: { trip: TripPolicy.consecutive(5), openFor: "1 hour" },
        bulkhead: { maxConcurrent: 1 },
        mode: "observe"
      })
      for (let n = 1; n <= 5; n++) yield* Effect.exit(policy.protect(n % 2 === 0 ? down : Effect.delay(down, 1)))
      assert.strictEqual((yield* policy.stats()).would?.circuit?._tag, "open")
    })
  )

  it("keeps no process alive", () => {
    const args = ["-C", "@effect-resilience/source", new URL("exits.ts", import.meta.url).pathname]
    const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
    assert.strictEqual(stdout, "retries: 1\n", stderr)
    assert.strictEqual(status, 0)
  })
})
