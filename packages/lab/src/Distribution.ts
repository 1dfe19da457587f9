/**
 * Distributions of service times.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { PositiveMillis, PlainMillis as Sample } from "./internal/duration.ts"
import { quantile as normal } from "./internal/normal.ts"

/**
 * A constant time.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Constant = Schema.Struct({ kind: Schema.Literal("constant"), value: PositiveMillis })

/**
 * The memoryless distribution, the usual model of queueing theory.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Exponential = Schema.Struct({ kind: Schema.Literal("exponential"), mean: PositiveMillis })

/**
 * The shape of most measured latencies: `sigma` 0.5 has a short tail, 1 a long one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Lognormal = Schema.Struct({
  kind: Schema.Literal("lognormal"),
  mean: PositiveMillis,
  sigma: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 3 }, { expected: "a number between 0 and 3" }))
})

/**
 * Fast, and slow for a share of the work, as with a cache and its misses.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Bimodal = Schema.Struct({
  kind: Schema.Literal("bimodal"),
  fast: PositiveMillis,
  slow: PositiveMillis,
  share: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }, { expected: "a number between 0 and 1" }))
})

/**
 * Recorded samples, drawn with equal probability. They are numbers of milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Trace = Schema.Struct({
  kind: Schema.Literal("trace"),
  samples: Schema.Array(Sample).pipe(
    Schema.decodeTo(
      Schema.Array(Sample).check(
        Schema.makeFilter((samples) => samples.some((sample) => sample > 0) || "Expected a sample above 0")
      ),
      SchemaTransformation.transform({
        decode: (samples: ReadonlyArray<number>): ReadonlyArray<number> => samples.toSorted((a, b) => a - b),
        encode: (samples: ReadonlyArray<number>) => samples
      })
    )
  )
})

/**
 * A distribution of service times.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Distribution = Schema.Union([Constant, Exponential, Lognormal, Bimodal, Trace])

/**
 * A distribution of service times, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Distribution = typeof Distribution.Type

/**
 * The quantile `u`: the milliseconds within which a share `u` of the work is done. With `u` drawn from [0, 1) it is a
 * sample.
 *
 * @category accessors
 * @since 0.1.0
 */
export const quantile = (self: Distribution, u: number): number => {
  switch (self.kind) {
    case "constant":
      return self.value
    case "exponential":
      return -Math.log(1 - u) * self.mean
    case "lognormal":
      return self.mean * Math.exp(self.sigma * normal(u) - self.sigma ** 2 / 2)
    case "bimodal":
      return u < 1 - self.share ? self.fast : self.slow
    case "trace":
      return self.samples[Math.floor(u * self.samples.length)] ?? 0
  }
}

/**
 * The effect of a limit of `limit` milliseconds: the share of the work that is done within it (`done`), and how long a
 * worker is busy on average if it stops at the limit (`held`) or continues to the end (`mean`).
 *
 * **Details** Computed from 10,000 quantiles, exact to about 0.1 %.
 *
 * @category accessors
 * @since 0.1.0
 */
export const cut = (
  self: Distribution,
  limit: number
): { readonly done: number; readonly held: number; readonly mean: number } => {
  const points = 10_000
  let done = 0
  let held = 0
  let mean = 0
  for (let i = 0; i < points; i++) {
    const time = quantile(self, (i + 0.5) / points)
    if (time <= limit) done += 1
    held += Math.min(time, limit)
    mean += time
  }
  return { done: done / points, held: held / points, mean: mean / points }
}
