/**
 * Adds what policies do to the traces of an application: as events of the span in which a call runs.
 *
 * This is an adapter. Effect's tracer is stable; the module stands beside the other exporters.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import * as Event from "../Event.ts"
import type * as Broadcast from "../runtime/broadcast.ts"
import { attempt, read } from "../runtime/read.ts"

type Attributes = Record<string, unknown>

const seconds = (duration: Duration.Duration): number => Duration.toMillis(duration) / 1000

/** The tag or the name of an error; never its message, which may have data of a user in it. */
const typeOf = (error: unknown): string => {
  const tag = read(error, "_tag") ?? read(error, "name")
  return typeof tag === "string" ? tag : typeof error
}

/** The name of the span event, and its attributes without those that all have. */
const describe = (event: Event.Event): readonly [name: string, attributes: Attributes] | undefined => {
  switch (event._tag) {
    case "RetryScheduled": {
      const { attempt, delay, error } = event
      const attributes = {
        "resilience.attempt": attempt,
        "resilience.delay": seconds(delay),
        "error.type": typeOf(error)
      }
      return ["resilience.retry", attributes]
    }
    case "Hedged": {
      const { delay, result } = event
      return ["resilience.hedge", { "resilience.delay": seconds(delay), "resilience.result": result }]
    }
    case "GaveUp": {
      const { attempts, elapsed, error, reason } = event
      return [
        "resilience.giveup",
        {
          "resilience.attempt": attempts,
          "resilience.reason": reason,
          "resilience.elapsed": seconds(elapsed),
          "error.type": typeOf(error)
        }
      ]
    }
    case "Rejected":
      return ["resilience.rejection", { "resilience.reason": event.rejection._tag }]
    case "TimedOut":
      return ["resilience.timeout", { "resilience.limit": seconds(event.after) }]
    case "Transition": {
      const { cause, evidence, from, to } = event
      return [
        "resilience.transition",
        {
          "resilience.from": from,
          "resilience.to": to,
          "resilience.cause": cause,
          ...(evidence === undefined ? {} : { "resilience.trip": evidence.trip })
        }
      ]
    }
    case "LimitChanged": {
      const { before, evidence, limit } = event
      return [
        "resilience.limit",
        {
          ...(limit === undefined ? {} : { "resilience.limit": limit }),
          ...(before === undefined ? {} : { "resilience.limit_before": before }),
          "resilience.trip": evidence.trip
        }
      ]
    }
    case "BudgetExhausted":
      return ["resilience.budget_exhausted", { "resilience.balance": event.balance }]
    case "FallbackUsed":
      return ["resilience.fallback", { "error.type": typeOf(event.error) }]
    case "Observed": {
      const described = describe(event.event)
      if (described === undefined) return undefined
      const [name, attributes] = described
      const { candidate } = event
      return [
        name.replace("resilience.", "resilience.would."),
        candidate === undefined ? attributes : { ...attributes, "resilience.candidate": candidate }
      ]
    }
    case "Changed":
      return ["resilience.change", { "resilience.change": event.change.id, "resilience.action": event.change.action }]
    case "FailureIgnored":
    case "BoardLost":
    case "BoardFound":
    case "FleetOpened":
    case "ProbeLeased":
    case "ShareLowered":
    case "RateLowered":
    case "SettingsDiffered":
    case "EventsLost":
      return undefined
  }
}

const listener: Broadcast.Listener<Event.Event> = (event, fiber) => {
  if (fiber === undefined) return
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  if (span?._tag !== "Span" || !span.sampled) return
  const described = describe(event)
  if (described === undefined) return
  const [name, attributes] = described
  const time = fiber.getRef(Clock.Clock).currentTimeNanosUnsafe()
  // The span may be the user's, and must not break the call.
  attempt(
    () => span.event(name, time, { "resilience.policy": event.policy, "resilience.key": event.key, ...attributes }),
    undefined
  )
}

/**
 * Adds an event to the current span of a call for each retry, rejection, timeout and transition, for each call that a retry gave up
 * on, for each retry that a budget refused, and for each fallback.
 *
 * **When to use** To see in a trace why a call took long or failed: `Effect.withSpan` around the protected call is the span.
 *
 * **Details** The events are `resilience.retry`, `resilience.giveup`, `resilience.rejection`, `resilience.timeout`,
 * `resilience.transition`, `resilience.budget_exhausted`, `resilience.fallback` and `resilience.change`. Each has the attributes `resilience.policy` and
 * `resilience.key`; a retry and a giveup have `resilience.attempt`. Durations are in seconds. Of an error its `_tag` or name is
 * recorded as `error.type`, never its message.
 *
 * A call in no span, or in one that is not sampled, records nothing. While the layer lives, policies create events. Without it
 * nothing is done for it.
 *
 * **Example** (The retry of a call)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Policy, Retry, Transient } from "effect-resilience"
 * import * as Spans from "effect-resilience/telemetry/Spans"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 * class Search extends Policy.Service<Search>()("app/Search", { retry: Retry.backoff({ base: "1 millis", times: 1 }) }) {}
 *
 * let calls = 0
 * const find = Effect.suspend(() => calls++ === 0 ? Effect.fail(new Busy()) : Effect.succeed("found"))
 * const traced = find.pipe(Search.protect, Effect.withSpan("find"))
 * const live = Layer.mergeAll(Search.layer, Spans.layer())
 * await Effect.runPromise(Effect.provide(traced, live)) // => "found"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (): Layer.Layer<never> =>
  Layer.effectDiscard(
    Effect.acquireRelease(
      Effect.map(Event.CurrentHub, (hub) => {
        const listeners = Event.listenersOf(hub)
        // A listener of its own for each layer, because a hub has each listener once.
        const own: typeof listener = (event, fiber) => listener(event, fiber)
        listeners.add(own)
        return { listeners, own }
      }),
      ({ listeners, own }) => Effect.sync(() => listeners.delete(own))
    )
  )
