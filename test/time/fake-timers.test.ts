/** Fake timers of a test runner move every part alike: open time, timeout, deadline, maxWait and the delay of a retry. */
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as FakeTimers from "@sinonjs/fake-timers"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { Bulkhead, CircuitBreaker, Deadline, Policy, Retry, Timeout, TripPolicy } from "effect-resilience"
import { Busy } from "../support/errors.ts"

interface Fakes {
  readonly install: () => void
  readonly advance: (millis: number) => Promise<unknown>
  readonly uninstall: () => void
}

const fakes: Readonly<Record<string, Fakes>> = {
  vitest: {
    install: () => vi.useFakeTimers(),
    advance: (millis) => vi.advanceTimersByTimeAsync(millis),
    uninstall: () => vi.useRealTimers()
  },
  sinon: (() => {
    let clock: ReturnType<typeof FakeTimers.install> | undefined
    return {
      install: () => {
        // Promises and Effect's scheduler go on by themselves.
        clock = FakeTimers.install({ toNotFake: ["nextTick", "queueMicrotask"] })
      },
      advance: async (millis) => clock?.tickAsync(millis),
      uninstall: () => {
        clock?.uninstall()
        clock = undefined
      }
    }
  })()
}

const hanging = Effect.never as Effect.Effect<string, Busy>
const busy = Effect.fail(new Busy()) as Effect.Effect<string, Busy>
const fine = Effect.succeed("ok") as Effect.Effect<string, Busy>

const tagOf = <A, E extends { readonly _tag: string }>(call: Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.match(call, { onSuccess: (value) => String(value), onFailure: (error) => error._tag }))

/** Settles when the call has ended; tells whether it has. */
const watching = (call: Promise<string>) => {
  const seen: { tag: string | undefined } = { tag: undefined }
  void call.then((tag) => {
    seen.tag = tag
  })
  return seen
}

for (const [name, { advance, install, uninstall }] of Object.entries(fakes)) {
  describe(`the fake timers of ${name}`, () => {
    afterEach(uninstall)

    it("move a timeout, a deadline, maxWait and a delay", async () => {
      install()
      const bulkhead = Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 1, maxWait: 1000 }))
      const policy = Effect.runSync(Policy.make("p", { timeout: 1000 }))
      Effect.runFork(bulkhead.protect(hanging))
      let attempts = 0
      const second = Effect.suspend(() => (++attempts === 1 ? busy : fine))
      const all = [
        [Timeout.after(hanging, 1000), "TimedOut"],
        [Deadline.within(hanging, 1000), "DeadlineExceeded"],
        [bulkhead.protect(hanging), "BulkheadFull"],
        [policy.protect(hanging), "TimedOut"],
        [second.pipe(Retry.transient(Schedule.spaced(1000))), "ok"]
      ] as const
      const seen = all.map(([call]) => watching(tagOf<string, { readonly _tag: string }>(call)))
      await advance(999)
      for (const { tag } of seen) assert.isUndefined(tag)
      await advance(2)
      assert.deepStrictEqual(
        seen.map(({ tag }) => tag),
        all.map(([, tag]) => tag)
      )
    })

    it("move the open time of a circuit", async () => {
      install()
      const breaker = Effect.runSync(
        CircuitBreaker.make("c", { trip: TripPolicy.consecutive(1), openFor: { initial: 30_000, jitter: 0 } })
      )
      assert.strictEqual(await tagOf(breaker.protect(busy)), "Busy")
      await advance(29_999)
      assert.strictEqual(await tagOf(breaker.protect(fine)), "CircuitOpen")
      await advance(1)
      assert.strictEqual(await tagOf(breaker.protect(fine)), "ok")
    })

    it("the deadline in the work and the limit around it read one clock", async () => {
      install()
      const left = Effect.runPromise(
        Effect.andThen(Effect.sleep(400), Deadline.remaining).pipe(Deadline.within(1000), Effect.map(String))
      )
      await advance(400)
      assert.include(await left, "600")
    })

    it("a timer that was set before or after is one of the real clock", async () => {
      // Leaves a list with a platform timer of the real clock.
      await Effect.runPromise(Timeout.after(Effect.yieldNow, 40))
      install()
      const faked = watching(tagOf(Timeout.after(hanging, 40)))
      await advance(41)
      assert.strictEqual(faked.tag, "TimedOut")
      // Leaves one of the fake clock.
      const left = Effect.runPromise(Timeout.after(Effect.yieldNow, 40))
      await advance(1)
      await left
      uninstall()
      const exit = await Effect.runPromiseExit(Timeout.after(hanging, 40))
      assert.isTrue(Exit.isFailure(exit))
    })
  })
}
