/** Runs a trace through a policy, and returns what the policy decided. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Policies, Policy, type Stats } from "effect-resilience"
import { Down, Wrong } from "../policy/support.ts"
import { lenient, type TracedCall } from "./traces.ts"

/** What was decided about the calls: every event with its time, and the counts of each key. */
export interface Decisions {
  readonly events: ReadonlyArray<Record<string, unknown>>
  readonly counts: Readonly<Record<string, unknown>>
}

type Made = Policy.Policy<never, {}>

const work = ({ duration, ending }: TracedCall): Effect.Effect<string, Down | Wrong> =>
  Effect.flatMap(Effect.sleep(duration), (): Effect.Effect<string, Down | Wrong> => {
    switch (ending) {
      case "success":
        return Effect.succeed("ok")
      case "transient":
        return Effect.fail(new Down())
      case "permanent":
        return Effect.fail(new Wrong())
      case "defect":
        return Effect.die("bug")
    }
  })

/** The fields that are the same on both sides: errors are other objects. */
const comparable = (event: Event.Event, start: number): Record<string, unknown> => {
  const { _tag, at, key, policy: _, ...rest } = event as Event.Event & Record<string, unknown>
  const known = Object.entries(rest).map(([name, value]) => [
    name,
    name === "rejection"
      ? JSON.parse(JSON.stringify({ ...(value as object), policy: "" }))
      : name === "error" || name === "failure"
        ? undefined
        : String(JSON.stringify(value))
  ])
  return { _tag, key, at: at - start, ...Object.fromEntries(known) }
}

const countsOf = (stats: Stats.Stats) => {
  const { giveUps, openings, rejections, retries, timeouts } = stats.totals
  return { rejections, retries, giveUps, timeouts, openings, circuit: stats.circuit?._tag, balance: stats.balance }
}

const wouldOf = (stats: Stats.Stats) => {
  const { balance, circuit, giveUps, openings, rejections, retries, timeouts } = stats.would!
  return { rejections, retries, giveUps, timeouts, openings, circuit: circuit?._tag, balance }
}

/** Runs each call at its time, without waiting for those before it. */
const drive = (
  policy: Made,
  trace: ReadonlyArray<TracedCall>,
  select: (event: Event.Event) => Event.Event | undefined,
  counts: (key: string) => Effect.Effect<unknown>
) =>
  Effect.gen(function* () {
    const events: Array<Record<string, unknown>> = []
    const start = yield* Effect.clockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
    const listener = yield* Effect.forkChild(
      Stream.runForEach(policy.events, (event) =>
        Effect.sync(() => {
          const selected = select(event)
          if (selected !== undefined) events.push(comparable(selected, start))
        })
      ),
      { startImmediately: true }
    )
    let now = 0
    for (const call of trace) {
      yield* TestClock.adjust(call.at - now)
      now = call.at
      yield* Effect.forkChild(Effect.exit(policy.protect({ key: call.key } as {})(work(call) as never)), {
        startImmediately: true
      })
    }
    yield* TestClock.adjust("1 day")
    const keys = Object.fromEntries(
      yield* Effect.forEach(["a", "b"], (key) => Effect.map(counts(key), (found) => [key, found]))
    )
    listener.interruptUnsafe()
    return { events, counts: keys } as Decisions
  })

const make = (options: Policy.Options): Effect.Effect<Made> =>
  Policy.make("traced", options as { readonly timeout: number }) as never

/** In a world of its own, whose time begins at zero. */
const alone = (self: Effect.Effect<Decisions, unknown, unknown>) =>
  Effect.provide(self as Effect.Effect<Decisions>, [Policies.layer, TestClock.layer()])

export const enforcedTrace = (options: Policy.Options, trace: ReadonlyArray<TracedCall>) =>
  alone(
    Effect.flatMap(make(options), (policy) =>
      drive(
        policy,
        trace,
        (event) => event,
        (key) => Effect.map(policy.stats(key), countsOf)
      )
    )
  )

const observed = (candidate: string | undefined) => (event: Event.Event) =>
  event._tag === "Observed" && event.candidate === candidate ? event.event : undefined

export const observedTrace = (options: Policy.Options, trace: ReadonlyArray<TracedCall>) =>
  alone(
    Effect.flatMap(make({ ...options, mode: "observe" }), (policy) =>
      drive(policy, trace, observed(undefined), (key) => Effect.map(policy.stats(key), wouldOf))
    )
  )

/** The decisions of a candidate beside a policy that never rejects, and repeats nothing. */
export const candidateOfTrace = (options: Policy.Options, trace: ReadonlyArray<TracedCall>) =>
  alone(
    Effect.scoped(
      Effect.gen(function* () {
        const policy = yield* make(lenient(options))
        const candidate = yield* Policy.candidate(policy, options as Policy.CandidateOptions)
        return yield* drive(policy, trace, observed("candidate"), (key) => Effect.map(candidate.stats(key), countsOf))
      })
    )
  )
