/**
 * The time limit of every tool of this package, in real time.
 *
 * A program under test may wait for something that never happens. A tool stops such a program at its limit, and its
 * error names the program. `Model` and `Laws` report a stopped program as a finding, with a replay; `Sweep` and
 * `Conservation` as a violation; `Explore` and the parts of a test that are no subject of it fail with {@link Exceeded}.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"

/**
 * A program that a tool stopped because it had not ended within its time limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class Exceeded extends Data.TaggedError("TimeLimitExceeded")<{
  /** The tool, such as `"Explore"`. */
  readonly tool: string
  /** The program that was stopped. */
  readonly program: string
  /** The limit, in real time. */
  readonly limit: Duration.Duration
}> {
  override get message(): string {
    return `${this.tool}: stopped ${this.program}, which had not ended after ${Duration.format(this.limit)}`
  }
}

/**
 * The limit of each single program that a tool runs, for all tools at once. A `timeLimit` option of a tool goes before
 * it.
 *
 * **Details** In real time, also under a `TestClock`. Default: each tool's own, which its options document.
 *
 * **Gotchas** A program that never returns to the event loop, such as an endless `while`, cannot be stopped.
 *
 * **Example** (A slow machine)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 * import { Conservation, TimeLimit } from "@effect-resilience/testing"
 *
 * const test = Effect.gen(function*() {
 *   const printer = yield* Bulkhead.make("printer", { maxConcurrent: 1 })
 *   return yield* Effect.never.pipe(printer.protect, Conservation.watch(printer))
 * })
 * const limited = Effect.provideService(test, TimeLimit.TimeLimit, Duration.millis(20))
 * const { message } = await Effect.runPromise(Effect.flip(limited))
 * message // => "Conservation.watch: stopped the watched program, which had not ended after 20ms"
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const TimeLimit: Context.Reference<Duration.Duration | undefined> = Context.Reference<
  Duration.Duration | undefined
>("@effect-resilience/testing/TimeLimit", { defaultValue: () => undefined })
