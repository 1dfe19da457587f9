/** Client processes that stand still: when they do, and the world as one of them sees it. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { once } from "./once.ts"
import { occurrencesOf } from "./timeline.ts"

interface Stall {
  readonly from: number
  readonly to: number
  /** So many processes stand still, those with the lowest numbers. */
  readonly processes: number
}

const stallsOf = once(
  (scenario): ReadonlyArray<Stall> =>
    occurrencesOf(scenario)
      .flatMap(({ fault, from, to }) =>
        fault.kind === "stall" ? { from, to, processes: Math.ceil(fault.share * scenario.clients) } : []
      )
      .sort((one, other) => one.from - other.from)
)

/**
 * When a process does what would happen at a moment: then, or at the end of the stall that the moment is in. `undefined` for a process that
 * never stands still.
 */
export const awakeOf = (scenario: Scenario, index: number): ((moment: number) => number) | undefined => {
  const stalls = stallsOf(scenario).filter(({ processes }) => index < processes)
  if (stalls.length === 0) return undefined
  // Stalls may overlap, so one may begin before another one has ended.
  return (moment) => stalls.reduce((at, { from, to }) => (from <= at && at < to ? to : at), moment)
}

/** The share of the calls of a moment that can be answered in time, however quick an answer is. */
export const reachableOf = (scenario: Scenario): ((moment: number) => number) => {
  const { clients, deadline } = scenario
  const stalls = stallsOf(scenario)
  return (moment) =>
    1 -
    stalls.reduce(
      (most, { from, processes, to }) =>
        from <= moment && moment < to && to - moment > deadline ? Math.max(most, processes / clients) : most,
      0
    )
}

/** A world in which nothing happens while the process stands still, but at the end of the stall, in the order in which it was scheduled. */
export const standing = (engine: Engine, awake: (moment: number) => number): Engine => {
  const after: Engine["after"] = (delay, what) =>
    engine.after(awake(engine.now + Math.max(0, delay)) - engine.now, what)
  const clock = Context.get(engine.context, Clock.Clock)
  const scheduler = Context.get(engine.context, Scheduler.Scheduler)
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => void after(0, task),
    flush: () => void engine.runUntil(engine.now)
  }
  const context = engine.context.pipe(
    Context.add(Clock.Clock, {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
      currentTimeMillis: clock.currentTimeMillis,
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => {
        const millis = Duration.toMillis(duration)
        if (millis === Infinity) return Effect.never
        return Effect.callback((resume) => {
          const event = after(millis, () => resume(Effect.void))
          return Effect.sync(() => event.cancel())
        })
      },
      // As of the world's own clock.
      ["~effect-resilience/Clock/direct" as never]: { millis: () => Math.round(engine.now * 1e6) / 1e6, after }
    }),
    Context.add(Scheduler.Scheduler, {
      executionMode: scheduler.executionMode,
      shouldYield: (fiber) => scheduler.shouldYield(fiber),
      makeDispatcher: () => dispatcher
    })
  ) as Context.Context<never> // references add no requirements
  return {
    get now() {
      return engine.now
    },
    get events() {
      return engine.events
    },
    after,
    random: (name) => engine.random(name),
    context,
    fork: Effect.runForkWith(context),
    runSync: (effect) => Effect.runSyncExitWith(context)(effect),
    runUntil: (end) => engine.runUntil(end)
  }
}
