/**
 * Checks a board of your own: a store in which the members of a fleet meet, see `Shared.Board` of `effect-resilience`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { Policies, Policy, type Shared, Transient, TripPolicy } from "effect-resilience"

/**
 * A law that a board breaks.
 *
 * @category errors
 * @since 0.1.0
 */
export class Broken extends Data.TaggedError("Broken")<{
  readonly law: string
  readonly problem: string
}> {
  override get message(): string {
    return `Boards: the law "${this.law}" does not hold: ${this.problem}`
  }
}

/**
 * A law of boards. It runs in real time, in at most ten seconds, and provides nothing: run it with the board under test.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law {
  readonly name: string
  readonly check: Effect.Effect<void, Broken, Shared.Board>
}

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const down: Effect.Effect<void, Down> = Effect.fail(new Down())

const join = (name: string, quorum = 0.5) =>
  Policy.make(name, {
    breaker: { trip: TripPolicy.consecutive(1000), openFor: "10 seconds" },
    shared: { breaker: { quorum } }
  })

type Member = Policy.Policy<"breaker">

const stateOf = (member: Member, key?: string) => Effect.map(member.stats(key), ({ circuit }) => circuit?._tag)

/** Waits until something holds, up to four seconds. */
const eventually = (law: string, problem: string, holds: Effect.Effect<boolean>): Effect.Effect<void, Broken> => {
  const look = (left: number): Effect.Effect<void, Broken> =>
    Effect.flatMap(holds, (isSo) =>
      isSo
        ? Effect.void
        : left === 0
          ? Effect.fail(new Broken({ law, problem }))
          : Effect.andThen(Effect.sleep("20 millis"), look(left - 1))
    )
  return look(200)
}

const law = (
  name: string,
  check: (fleet: string, broken: string) => Effect.Effect<void, Broken, Shared.Board | Scope.Scope>
): Law => ({
  name,
  // The names of the fleets of two runs differ, because a board may keep what it was told.
  check: Effect.flatMap(Random.nextInt, (run) => check(`boards-${Math.abs(run)}`, name)).pipe(
    Effect.scoped,
    // Each law is a program of its own.
    // @effect-diagnostics-next-line strictEffectProvide:off
    Effect.provide(Policies.layer)
  )
})

/**
 * The laws of every board.
 *
 * **Example** (The board of this library in memory)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Shared } from "effect-resilience"
 * import { Boards } from "@effect-resilience/testing"
 *
 * const program = Effect.forEach(Boards.laws, ({ check }) => check)
 * await Effect.runPromise(program.pipe(Effect.provide(Shared.layerMemory), Effect.as("it is a board"))) // => "it is a board"
 * ```
 *
 * @category laws
 * @since 0.1.0
 */
export const laws: ReadonlyArray<Law> = [
  law("a command of one member reaches the others", (fleet, broken) =>
    Effect.gen(function* () {
      const [here, there] = yield* Effect.all([join(fleet), join(fleet)])
      yield* here.control.isolate({ by: "ann" })
      yield* eventually(
        broken,
        "the other member was not isolated",
        Effect.map(stateOf(there), (is) => is === "isolated")
      )
      yield* there.control.close()
      yield* eventually(
        broken,
        "the first member was not closed",
        Effect.map(stateOf(here), (is) => is === "closed")
      )
    })
  ),
  law("a member that comes later learns what was commanded", (fleet, broken) =>
    Effect.gen(function* () {
      const here = yield* join(fleet)
      yield* here.control.isolate({ key: "eu", by: "ann" })
      yield* Effect.sleep("100 millis")
      const late = yield* join(fleet)
      yield* eventually(
        broken,
        "it was not isolated",
        Effect.map(stateOf(late, "eu"), (is) => is === "isolated")
      )
    })
  ),
  law("a fleet opens when a quorum of its members fails, and not before", (fleet, broken) =>
    Effect.gen(function* () {
      const members = yield* Effect.all([join(fleet), join(fleet), join(fleet)])
      const fail = (member: Member) => Effect.repeat(Effect.exit(down.pipe(member.protect)), { times: 9 })
      yield* fail(members[0])
      yield* Effect.sleep("300 millis")
      const before = yield* Effect.forEach(members, (member) => stateOf(member))
      if (before.some((is) => is !== "closed")) {
        return yield* Effect.fail(new Broken({ law: broken, problem: "one member opened it alone" }))
      }
      const outage = Effect.forever(
        Effect.andThen(
          Effect.forEach(members, (member) => Effect.exit(down.pipe(member.protect))),
          Effect.sleep("20 millis")
        )
      )
      yield* Effect.forkScoped(outage)
      const isOpen = Effect.map(
        Effect.forEach(members, (member) => stateOf(member)),
        (all) => all.every((is) => is === "open" || is === "half-open")
      )
      yield* eventually(broken, "it did not open", isOpen)
    })
  ),
  law("fleets of two names do not meet", (fleet, broken) =>
    Effect.gen(function* () {
      const [here, elsewhere] = yield* Effect.all([join(fleet), join(`${fleet}-other`)])
      yield* here.control.isolate({ by: "ann" })
      yield* Effect.sleep("1200 millis")
      if ((yield* stateOf(elsewhere)) !== "closed") {
        return yield* Effect.fail(new Broken({ law: broken, problem: "a command went to another fleet" }))
      }
    })
  ),
  law("reports of many members at once are taken one after the other", (fleet, broken) =>
    Effect.gen(function* () {
      const members = yield* Effect.all(
        Array.from({ length: 8 }, () => join(fleet)),
        { concurrency: "unbounded" }
      )
      yield* Effect.forEach(
        members,
        (member, i) => Effect.exit(member.control.isolate({ key: `key ${i}`, by: "ann" })),
        { concurrency: "unbounded" }
      )
      const all = Effect.forEach(members, (member) =>
        Effect.forEach(members, (_, i) => Effect.map(stateOf(member, `key ${i}`), (is) => is === "isolated"))
      )
      yield* eventually(
        broken,
        "a command was lost",
        Effect.map(all, (rows) => rows.flat().every((is) => is))
      )
      const counted = Effect.map(
        Effect.forEach(members, ({ fleet }) => fleet),
        (views) => views.every((view) => view?.members === members.length)
      )
      yield* eventually(broken, "not every member is counted", counted)
    })
  ),
  law("a member that leaves is no longer counted", (fleet, broken) =>
    Effect.gen(function* () {
      const here = yield* join(fleet)
      const during = yield* Effect.exit(
        Effect.scoped(
          Effect.andThen(
            join(fleet),
            eventually(
              broken,
              "two members are not counted",
              Effect.map(here.fleet, (view) => view?.members === 2)
            )
          )
        )
      )
      if (Exit.isFailure(during)) return yield* during
      yield* eventually(
        broken,
        "it is still counted",
        Effect.map(here.fleet, (view) => view?.members === 1)
      )
    })
  )
]
