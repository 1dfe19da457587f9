/** What the commands `set` in force cost to hold: each is resolved once, however many there are. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Override } from "../../packages/resilience/src/engine/changes.ts"
import { merge } from "../../packages/resilience/src/engine/config.ts"
import { Tuner } from "../../packages/resilience/src/engine/retune.ts"

interface Options {
  readonly least: number
  readonly most: number
  readonly other: number
}

/** Settings of which one limits another, and how often they were resolved. */
const tuner = () => {
  const seen = { resolved: 0 }
  const options: Options = { least: 0, most: 10, other: 0 }
  const made = new Tuner<Options, Options>({
    id: "test/Tuned",
    where: "Test test/Tuned",
    schema: Schema.Struct({ least: Schema.Number, most: Schema.Number, other: Schema.Number }),
    options,
    configured: {},
    settings: options,
    optionNames: ["least", "most", "other"],
    toOptions: (values, options) => merge(options, values),
    resolve: (options) => {
      seen.resolved += 1
      if (options.least > options.most) throw new RangeError("Test test/Tuned: least must be at most most")
      return options
    },
    describe: ({ least, most, other }) => ({ least, most, other }),
    apply: () => {}
  })
  return { made, seen }
}

const apply = (made: Tuner<Options, Options>, inForce: ReadonlyArray<Override>) =>
  Effect.withFiber((fiber) => Effect.sync(() => made.plug.apply(inForce, 0, fiber)))

const override = (made: Tuner<Options, Options>, id: number, values: Schema.JsonObject): Override => ({
  id,
  key: undefined,
  values: made.plug.check("", values, undefined)
})

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

const Step = Schema.Struct({
  field: Schema.Literals(["least", "most", "other"]),
  value: between(0, 12),
  /** The place of the one that ends next, if there is one. */
  ends: between(0, 15)
})

describe("settings in force", () => {
  it.effect.prop(
    "are those of all that is in force from the bottom, whichever were taken back",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(40)) },
    ({ steps }) =>
      Effect.gen(function* () {
        const { made } = tuner()
        let inForce: ReadonlyArray<Override> = []
        for (const [id, { ends, field, value }] of steps.entries()) {
          const given = yield* Effect.exit(Effect.sync(() => override(made, id, { [field]: value })))
          if (given._tag === "Success") {
            inForce = [...inForce, given.value]
            yield* apply(made, inForce)
          }
          if (ends < inForce.length) {
            inForce = inForce.filter((_, i) => i !== ends)
            yield* apply(made, inForce)
          }
          const anew = { least: 0, most: 10, other: 0 }
          for (const { values } of inForce) {
            const next = { ...anew, ...values }
            if (next.least <= next.most) Object.assign(anew, values)
          }
          assert.deepStrictEqual(made.described, anew)
        }
      }),
    { arbitrary: { runs: 200, size: 40, seed: 1 } }
  )

  it.effect("are resolved twice for each `set`, with a thousand in force as with one", () =>
    Effect.gen(function* () {
      const { made, seen } = tuner()
      let inForce: ReadonlyArray<Override> = []
      for (let i = 1; i <= 1000; i++) {
        inForce = [...inForce, override(made, i, { other: i })]
        yield* apply(made, inForce)
      }
      assert.strictEqual(seen.resolved, 2000)
      seen.resolved = 0
      yield* apply(made, inForce.slice(1))
      assert.strictEqual(seen.resolved, 1, "without the first one the second leads to the same")
      assert.deepStrictEqual(made.described, { least: 0, most: 10, other: 1000 })
    })
  )

  it.effect("show that one covers another without resolving those in between again that follow", () =>
    Effect.gen(function* () {
      const { made, seen } = tuner()
      const inForce = Array.from({ length: 500 }, (_, i) =>
        override(made, i, i % 2 === 0 ? { most: 11 + i } : { other: i })
      )
      yield* apply(made, inForce)
      seen.resolved = 0
      assert.isTrue(made.plug.covers?.(inForce[2]!, inForce[0]!))
      assert.isFalse(made.plug.covers?.(inForce[1]!, inForce[0]!))
      assert.strictEqual(seen.resolved, 2)
    })
  )
})
