import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Policy, Retry } from "effect-resilience"
import { Busy } from "../support/errors.ts"

const gaveUp = (exit: Exit.Exit<unknown, unknown>) =>
  Option.getOrThrow(exit._tag === "Failure" ? Retry.gaveUp(exit.cause) : Option.none())

const numbers = ({ history }: Retry.GiveUp) => history.map(({ attempt }) => attempt)

const busy = Effect.suspend(() => Effect.fail(new Busy()))

describe("the history of a retry", () => {
  const lengths: ReadonlyArray<
    readonly [history: number | undefined, retries: number, expected: ReadonlyArray<number>]
  > = [
    [undefined, 24, [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]],
    [undefined, 9, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    [undefined, 2, [1, 2, 3]],
    [3, 9, [8, 9, 10]],
    [1, 9, [10]],
    [0, 9, []],
    [100, 249, Array.from({ length: 100 }, (_, i) => 151 + i)]
  ]
  for (const [history, retries, expected] of lengths) {
    it.effect(`keeps the last attempts, in order: ${history ?? "10 by default"} of ${retries + 1}`, () =>
      Effect.gen(function* () {
        const options: { readonly history?: number } = history === undefined ? {} : { history }
        const schedule = Schedule.recurs(retries)
        const policy = yield* Policy.make("p", { retry: { schedule, ...options } })
        for (const call of [busy.pipe(Retry.transient(schedule, options)), policy.protect(busy)]) {
          const found = gaveUp(yield* Effect.exit(call))
          assert.strictEqual(found.attempts, retries + 1)
          assert.instanceOf(found.error, Busy)
          assert.deepStrictEqual(numbers(found), expected)
        }
      })
    )
  }

  it.effect("a running retry holds the errors of its history and no others", () =>
    Effect.gen(function* () {
      const errors: Array<WeakRef<Busy>> = []
      const held = () => errors.filter((one) => one.deref() !== undefined).length
      const counts: Array<number> = []
      const collect = yield* Effect.promise(async () => {
        const [v8, vm] = await Promise.all([import("node:v8"), import("node:vm")])
        v8.setFlagsFromString("--expose-gc")
        return vm.runInNewContext("gc") as () => void
      })
      // A weak reference is kept until the end of the turn in which it was made.
      const turn = Effect.promise(() => new Promise<void>((resolve) => void setImmediate(resolve)))
      const call = (history: number) =>
        Effect.andThen(
          turn,
          Effect.suspend(() => {
            if (errors.length === 200) {
              collect()
              counts.push(held() - history)
            }
            const error = new Busy()
            errors.push(new WeakRef(error))
            return Effect.fail(error)
          })
        ).pipe(Retry.transient(Schedule.recurs(201), { history }))
      for (const history of [0, 10, 50]) {
        errors.length = 0
        yield* Effect.exit(call(history))
      }
      assert.strictEqual(counts.length, 3)
      // Beside its history: the last failure, and what the frames in between still hold of it.
      for (const more of counts) assert.isAtMost(more, 4)
    })
  )

  for (const history of [-1, 1.5, Infinity, "10"]) {
    it(`fails at construction: ${String(history)}`, () => {
      const make = () => Retry.transient(Schedule.recurs(1), { history: history as number })
      assert.throws(make, RangeError, "Retry.transient: history must be an integer >= 0, got ")
    })
  }
})
