/** Timers of policies in a world: without a fiber each, and in everything else as sleeps on its clock. */

import { assert, describe, it } from "@effect/vitest"
import { Engine } from "@effect-resilience/lab"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Timer from "../../packages/resilience/src/runtime/timer.ts"

const millis = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(40))

const Started = Schema.Struct({ at: millis, delay: millis, cancelledAfter: millis })

/** A clock with the members of `Clock` alone. */
const plain = (clock: Clock.Clock): Clock.Clock => ({
  currentTimeMillis: clock.currentTimeMillis,
  currentTimeNanos: clock.currentTimeNanos,
  monotonicTimeNanos: clock.monotonicTimeNanos,
  currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
  currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
  monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
  sleep: (duration) => clock.sleep(duration)
})

/** When each timer fired, in order, and how many events it took. */
const run = (timers: ReadonlyArray<typeof Started.Type>, isDirect: boolean) => {
  const world = Engine.make({ seed: 1 })
  const fired: Array<readonly [timer: number, at: number]> = []
  const clock = Context.get(world.context, Clock.Clock)
  const one = Effect.withFiber((fiber) =>
    Effect.sync(() => {
      for (const [index, { at, cancelledAfter, delay }] of timers.entries()) {
        world.after(at, () => {
          const cancel = Timer.start(fiber, delay, () => fired.push([index, world.now]))
          world.after(cancelledAfter, cancel)
        })
      }
    })
  )
  world.fork(Effect.andThen(isDirect ? one : Effect.provideService(one, Clock.Clock, plain(clock)), Effect.never))
  world.runUntil(1000)
  return { fired, events: world.events }
}

describe("timers in a world", () => {
  it.prop(
    "fire at the same moments and in the same order as sleeps, and take as many events",
    { timers: Schema.Array(Started).check(Schema.isMaxLength(30)) },
    ({ timers }) => assert.deepStrictEqual(run(timers, true), run(timers, false)),
    { arbitrary: { runs: 100, size: 30, seed: 1 } }
  )
})
