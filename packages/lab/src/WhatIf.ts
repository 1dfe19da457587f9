/**
 * What other settings of a policy would have done with the calls that it had: the recorded calls once with the settings as they are,
 * and once with other ones, in a thread of its own.
 *
 * This module needs worker threads, as Node, Bun and Deno have them. It loads the lab in the thread only.
 *
 * @since 0.1.0
 */
import { Worker } from "node:worker_threads"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Check from "./internal/check.ts"
import { isSource } from "./internal/origin.ts"
import type { Trace } from "./Trace.ts"

/**
 * A recording, and two settings.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name of the policy. */
  readonly policy: string
  /** The settings of the policy as `Policies` lists them. */
  readonly present: Schema.JsonObject
  /** The other ones. */
  readonly changed: Schema.JsonObject
  /** When calls arrived, in milliseconds since any moment, in the order of time. */
  readonly arrivals: ReadonlyArray<number>
  /** How attempts ended, on the same clock, in the order of time. */
  readonly attempts: Trace
  /** The proportions of the calls to the keys. Default: one key. */
  readonly weights?: ReadonlyArray<number> | undefined
  /** The simulation is ended after this time. Above zero. Default: 20 seconds. */
  readonly limit?: Duration.Input | undefined
}

/**
 * What a policy did with the calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome {
  /** The share of the calls that succeeded. */
  readonly success: number
  /** Rejections per call, and of each kind. */
  readonly rejected: number
  readonly rejections: {
    readonly CircuitOpen: number
    readonly BulkheadFull: number
    readonly RateLimited: number
    readonly DeadlineExceeded: number
  }
  /** Retries per call. */
  readonly retries: number
  /** How often a circuit opened, per run. */
  readonly openings: number
  /** Milliseconds in which 95 % of the successful calls ended, retries included; `null` if no call succeeded. */
  readonly p95: number | null
}

/**
 * Both settings with the same calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  /** Calls of one run. */
  readonly calls: number
  /** Runs of each settings. */
  readonly runs: number
  readonly present: Outcome
  readonly changed: Outcome
  /** What is different by more than chance, as one sentence. */
  readonly sentence: string
}

/**
 * No simulation can be made: the settings contain what data does not describe, or the simulation takes too long.
 *
 * @category errors
 * @since 0.1.0
 */
export class WhatIfError extends Data.TaggedError("WhatIfError")<{
  readonly policy: string
  /** `refused`: the settings cannot be run. `failed`: the thread could not start, or was ended. */
  readonly why: "refused" | "failed"
  readonly reason: string
}> {
  override get message(): string {
    return `${this.policy}: ${this.reason}`
  }
}

const thread = new URL(isSource ? "./internal/whatIfThread.ts" : "./internal/whatIfThread.js", import.meta.url)

/** What the thread sends: a report, or why there is none. */
type Reply = { readonly report: Report } | { readonly reason: string }

/** More memory than the most calls need. */
const resourceLimits = { maxOldGenerationSizeMb: 512 }

const simulate = (options: Options): Effect.Effect<Report, WhatIfError> =>
  Effect.callback((resume) => {
    const fail = (why: WhatIfError["why"], reason: string): void =>
      resume(Effect.fail(new WhatIfError({ policy: options.policy, why, reason })))
    const { limit: _, ...workerData } = options
    // Sources import sources, also if this process was started without the condition.
    const execArgv = isSource ? ["--conditions=@effect-resilience/source"] : []
    const worker = new Worker(thread, { workerData, execArgv, resourceLimits })
    worker.on("message", (reply: Reply) => {
      if ("report" in reply) resume(Effect.succeed(reply.report))
      else fail("refused", reply.reason)
    })
    worker.on("error", (error) => fail("failed", error instanceof Error ? error.message : String(error)))
    worker.on("exit", () => fail("failed", "the thread of the simulation ended"))
    return Effect.promise(() => worker.terminate())
  })

/**
 * Replays recorded calls with the settings of a policy as they are and as they would be, and compares what callers get.
 *
 * **Details** The calls arrive as recorded, in one process; an attempt has the latency and the outcome of one that was recorded at about
 * its moment. Three runs of each settings. Circuits begin closed, and a budget begins with its initial tokens. The thread has at
 * most 512 MB of memory, and is ended when the effect is interrupted or `limit` is over.
 *
 * Throws a `RangeError` when there are no arrivals or no attempts, or when `limit` is not above zero.
 *
 * **Gotchas** The dependency does not react: fewer calls do not make it faster, and an attempt that ran into the timeout never gets a
 * response, however long the new timeout is. The thread is a file of this package: do not bundle this module.
 *
 * **Example** (A shorter timeout)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as WhatIf from "@effect-resilience/lab/WhatIf"
 *
 * const arrivals = Array.from({ length: 500 }, (_, index) => index * 20)
 * const attempts = arrivals.map((time, index) => ({ time, latency: 20 + (index % 80), outcome: "ok" as const }))
 * const program = WhatIf.run({
 *   policy: "app/Search",
 *   present: { timeout: 1000 },
 *   changed: { timeout: 60 },
 *   arrivals,
 *   attempts
 * })
 * const { changed, present } = await Effect.runPromise(program)
 * present.success // => 1
 * changed.success < 0.6 // => true
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = (options: Options): Effect.Effect<Report, WhatIfError> => {
  const { arrivals, attempts, limit = "20 seconds", policy } = options
  if (arrivals.length === 0) Check.refuse("WhatIf.run", "arrivals", "at least one moment", arrivals)
  if (attempts.length === 0) Check.refuse("WhatIf.run", "attempts", "at least one attempt", attempts)
  const duration = Duration.fromInputUnsafe(limit)
  if (!Duration.isGreaterThan(duration, Duration.zero)) Check.refuse("WhatIf.run", "limit", "above zero", limit)
  return Effect.timeoutOrElse(simulate(options), {
    duration,
    orElse: () => {
      const reason = `the simulation was ended because it took longer than ${Duration.format(duration)}`
      return Effect.fail(new WhatIfError({ policy, why: "failed", reason }))
    }
  })
}
