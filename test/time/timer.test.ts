/** Timers on the live clock, where many of one delay share a timer of the platform. On any other clock they are sleeps. */
import { execFile } from "node:child_process"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Timeout } from "effect-resilience"
import * as Time from "../../packages/resilience/src/runtime/clock.ts"
import * as Timer from "../../packages/resilience/src/runtime/timer.ts"

/** Starts timers on the live clock and answers what they did by the time that the slowest of them has ended. */
const ringing = (
  begin: (start: (name: string, delay: number) => () => void, elapsed: () => number) => void,
  last: string
) =>
  Effect.callback<ReadonlyArray<readonly [string, number]>>((resume) => {
    const rung: Array<readonly [string, number]> = []
    const begun = Time.liveMillis()
    const elapsed = () => Time.liveMillis() - begun
    Effect.runSync(
      Effect.withFiber((fiber) =>
        Effect.sync(() =>
          begin(
            (name, delay) =>
              Timer.start(fiber, delay, () => {
                rung.push([name, elapsed()])
                cancels.get(name)?.()
                if (name === last) resume(Effect.succeed(rung))
              }),
            elapsed
          )
        )
      )
    )
  })

/** What timers do when they fire, beside being noted. */
const cancels = new Map<string, () => void>()

/** Timers that would keep the process. */
const keeping = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length

describe("timers with the same delay", () => {
  it.live("fire once each, in the order of their start, and none before its time", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 50 }, (_, i) => `timer ${i}`)
      const rung = yield* ringing((start) => {
        for (const name of names) start(name, 17)
        start("end", 50)
      }, "end")
      assert.deepStrictEqual(
        rung.map(([name]) => name),
        [...names, "end"]
      )
      for (const [name, at] of rung) assert.isAtLeast(at, 17, name)
    })
  )

  it.live("a timer that starts later fires later, although both share one platform timer", () =>
    Effect.gen(function* () {
      let second = 0
      const rung = yield* ringing((start, elapsed) => {
        start("first", 23)
        setTimeout(() => {
          second = elapsed()
          start("second", 23)
        }, 7)
      }, "second")
      assert.deepStrictEqual(
        rung.map(([name]) => name),
        ["first", "second"]
      )
      assert.isAtLeast(rung[1]![1] - second, 23)
    })
  )

  it.live("a cancelled timer never fires, whichever position it had", () =>
    Effect.gen(function* () {
      const rung = yield* ringing((start) => {
        const cancels = ["a", "b", "c", "d", "e"].map((name) => start(name, 9))
        for (const at of [0, 2, 4, 4]) cancels[at]!()
        start("end", 40)
      }, "end")
      assert.deepStrictEqual(
        rung.map(([name]) => name),
        ["b", "d", "end"]
      )
    })
  )

  it.live("a timer that fires may start another with the same delay", () =>
    Effect.gen(function* () {
      const rung = yield* ringing((start) => {
        const cancel = start("never", 6)
        setTimeout(() => {
          cancel()
          start("again", 6)
        }, 5)
      }, "again")
      assert.deepStrictEqual(
        rung.map(([name]) => name),
        ["again"]
      )
    })
  )

  it.live("a timer cancelled by another that fires in the same tick does not fire", () =>
    Effect.gen(function* () {
      const rung = yield* ringing((start, elapsed) => {
        for (const name of ["first", "canceller"]) start(name, 5)
        cancels.set("canceller", start("cancelled", 5))
        start("last", 5)
        start("end", 40)
        // The loop is late: all are due at once.
        while (elapsed() < 8);
      }, "end")
      assert.deepStrictEqual(
        rung.map(([name]) => name),
        ["first", "canceller", "last", "end"]
      )
    })
  )

  it("a timer that throws does not stop the others", async () => {
    const program = `
      import { Effect } from "effect"
      import { Timeout } from "effect-resilience"
      process.on("uncaughtException", () => {})
      const slow = Effect.never.pipe(Timeout.after(5), Effect.ignore)
      Effect.runCallback(slow, { onExit: () => { throw new Error("an observer") } })
      Effect.runCallback(slow, { onExit: () => console.log("over") })
      for (const start = performance.now(); performance.now() - start < 10; );`
    const said = await new Promise((resolve) => {
      const args = ["--conditions=@effect-resilience/source", "--input-type=module", "--eval", program]
      execFile(process.execPath, args, (_, output) => resolve(output))
    })
    assert.strictEqual(said, "over\n")
  })

  it("fake timers of the platform move them", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    const ended = Effect.runPromise(Effect.flip(Effect.never.pipe(Timeout.after(1234))))
    await vi.advanceTimersByTimeAsync(1234)
    vi.useRealTimers()
    assert.strictEqual((await ended)._tag, "TimedOut")
  })

  it.live("keep the process alive while a timer is pending, and not after", () =>
    Effect.gen(function* () {
      const before = keeping()
      const [cancel, other] = yield* Effect.withFiber((fiber) =>
        Effect.sync(() => [Timer.start(fiber, 60_000, () => {}), Timer.start(fiber, 60_000, () => {})] as const)
      )
      assert.strictEqual(keeping(), before + 1)
      cancel()
      assert.strictEqual(keeping(), before + 1)
      other()
      assert.strictEqual(keeping(), before)
      const again = yield* Effect.withFiber((fiber) => Effect.sync(() => Timer.start(fiber, 60_000, () => {})))
      assert.strictEqual(keeping(), before + 1)
      again()
      assert.strictEqual(keeping(), before)
    })
  )
})
