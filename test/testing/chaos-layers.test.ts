import { assert, describe, it } from "@effect/vitest"
import { Chaos } from "@effect-resilience/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

class Down extends Schema.TaggedError<Down>()("Down", {}) {}
const down = () => new Down()

/** How three calls end, one after the other. */
const tags = (call: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.replicateEffect(Effect.exit(call), 3), (exits) =>
    exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : exit.cause.reasons[0]?._tag))
  )

class Numbers extends Context.Service<
  Numbers,
  {
    readonly one: Effect.Effect<number>
    readonly half: (n: number) => Effect.Effect<number, Down>
    readonly name: string
    readonly plain: (n: number) => number
  }
>()("Numbers") {
  static readonly layer = Layer.sync(Numbers, () => new Real())
}

class Real {
  readonly one = Effect.succeed(1)
  readonly name = "real"
  private readonly by = 2
  half(n: number) {
    return Effect.succeed(n / this.by)
  }
  plain(n: number) {
    return n / this.by
  }
}

describe("Chaos: a service", () => {
  it.effect("is hit at every method, also those of a class, and at nothing else", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.die(() => "bug", { calls: [2] })] })
      const seen = yield* Numbers.use((numbers) =>
        Effect.gen(function* () {
          const { half, name, plain } = numbers
          return [yield* tags(numbers.one), yield* tags(half(4)), name, plain(3), Object.keys(numbers)]
        })
      ).pipe(Effect.provide(Chaos.layer(Numbers, chaos).pipe(Layer.provide(Numbers.layer))))
      assert.deepStrictEqual(seen, [[1, "Die", 1], [2, "Die", 2], "real", 1.5, ["one", "name", "by"]])
      assert.deepStrictEqual(
        (yield* chaos.log).map(({ label }) => label),
        ["Numbers.one", "Numbers.half"]
      )
    })
  )

  it.effect("is hit where it is told, with the errors it knows", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)] })
      const layer = Chaos.layerMethods(Numbers, { half: chaos }).pipe(Layer.provide(Numbers.layer))
      const error = yield* Numbers.use((numbers) => Effect.flip(numbers.half(1))).pipe(Effect.provide(layer))
      assert.instanceOf(error, Down)
      assert.strictEqual(yield* Numbers.use((numbers) => numbers.one).pipe(Effect.provide(layer)), 1)
    })
  )
})
