/**
 * The check at start: does the run loop take native frames? Its protocol is not documented, and a loop that has changed may
 * do anything with such a frame, so every way in which a call can end is tried, and nothing escapes. If one fails, frames are
 * pushed with Effect's public API.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Frame, use } from "./frame.ts"
import type { AnyEffect } from "./types.ts"

/** Records how its run ended. */
class SelfTestCall extends Frame<unknown, AnyEffect | undefined> {
  readonly ends: Array<string> = []

  constructor(work: AnyEffect, next?: AnyEffect) {
    super(undefined, undefined, work, next)
  }

  copy(): SelfTestCall {
    return new SelfTestCall(this.self, this.options)
  }

  prepare(): undefined {}

  enter(): AnyEffect {
    return this.self
  }

  succeeded(): AnyEffect | undefined {
    this.ends.push("success")
    return this.options
  }

  failed(cause: Cause.Cause<unknown>): AnyEffect | undefined {
    this.ends.push(Cause.hasInterruptsOnly(cause) ? "interrupt" : "failure")
    return this.options
  }
}

/** Runs a call to its end, or to where it waits and is interrupted. */
const exitOf = (call: AnyEffect): Exit.Exit<unknown, unknown> | undefined => {
  // The calls of this check need no services.
  const fiber = Effect.runFork(call as Effect.Effect<unknown, unknown>)
  fiber.interruptUnsafe()
  return fiber.pollUnsafe()
}

const selfTest = (): boolean => {
  const cases: ReadonlyArray<readonly [SelfTestCall, string, (exit: Exit.Exit<unknown, unknown>) => boolean]> = [
    [new SelfTestCall(Effect.succeed(1)), "success", (exit) => Exit.isSuccess(exit) && exit.value === 1],
    [
      new SelfTestCall(Effect.succeed(1), Effect.succeed(2)),
      "success",
      (exit) => Exit.isSuccess(exit) && exit.value === 2
    ],
    [new SelfTestCall(Effect.fail(1)), "failure", Exit.hasFails],
    [
      new SelfTestCall(Effect.fail(1), Effect.succeed(2)),
      "failure",
      (exit) => Exit.isSuccess(exit) && exit.value === 2
    ],
    [new SelfTestCall(Effect.die(1)), "failure", Exit.hasDies],
    [
      new SelfTestCall(Effect.suspend(() => Effect.flatMap(Effect.void, () => Effect.fail(1)))),
      "failure",
      Exit.hasFails
    ],
    [new SelfTestCall(Effect.never), "interrupt", Exit.hasInterrupts],
    [
      new SelfTestCall(
        Effect.flatMap(Effect.void, () => Effect.never),
        Effect.succeed(2)
      ),
      "interrupt",
      Exit.hasInterrupts
    ]
  ]
  return cases.every(([call, end, holds]) => {
    const exit = exitOf(call)
    return exit !== undefined && holds(exit) && call.ends.length === 1 && call.ends[0] === end
  })
}

const check = (): boolean => {
  use("native")
  const exit = Effect.runSyncExit(Effect.sync(selfTest))
  return Exit.isSuccess(exit) && exit.value
}

export const nativeFramesWork = check()

use(nativeFramesWork ? "native" : "public")
