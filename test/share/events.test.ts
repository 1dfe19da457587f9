import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Event, Policy, Shared, Transient, TripPolicy } from "effect-resilience"
import * as Logs from "effect-resilience/telemetry/Logs"
import { cuttable } from "../support/board.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const options = {
  timeout: "1 second",
  bulkhead: { maxConcurrent: 20 },
  breaker: { trip: TripPolicy.consecutive(1000), openFor: { initial: "1 second", jitter: 0 } },
  shared: { breaker: { rejoin: "close" }, bulkhead: { fleet: 8 } }
} as const

const fail = <E, R>(protect: (self: Effect.Effect<void, Down>) => Effect.Effect<void, E, R>) =>
  Effect.repeat(Effect.exit(protect(Effect.fail(new Down()))), { times: 5 })

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))

const listen = (events: Stream.Stream<Event.Event>) =>
  Effect.gen(function* () {
    const heard: Array<Event.Event> = []
    const hearing = Stream.runForEach(events, (event) => Effect.sync(() => heard.push(event)))
    yield* Effect.forkScoped(hearing, { startImmediately: true })
    return heard
  })

const ofKind = <Tag extends Event.Event["_tag"]>(heard: ReadonlyArray<Event.Event>, tag: Tag) =>
  heard.filter((event): event is Extract<Event.Event, { readonly _tag: Tag }> => event._tag === tag)

describe("events of a policy that shares", () => {
  it.effect("the board was lost, and was found", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const policy = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        const heard = yield* listen(policy.events)
        state.isUp = false
        yield* TestClock.adjust("10 seconds")
        state.isUp = true
        yield* TestClock.adjust("3 seconds")
        const base = { policy: "payments", key: "(all)", board: "memory" }
        assert.lengthOf(heard, 2)
        assert.deepInclude(heard[0], { _tag: "BoardLost", ...base })
        assert.deepInclude(heard[1], { _tag: "BoardFound", ...base })
        const [found] = ofKind(heard, "BoardFound")
        assert.isAbove(Duration.toMillis(found!.away), 4000)
      })
    )
  )

  it.effect("the fleet has opened a circuit, and this process probes for it", () =>
    inFleet(
      Effect.gen(function* () {
        const { bulkhead: _, ...rest } = options
        const make = Policy.make("payments", { ...rest, shared: { breaker: { rejoin: "close" } } })
        const [late, ...all] = yield* Effect.all([make, make, make])
        const heard = yield* listen(late.events)
        for (const member of all) yield* fail(member.protect)
        yield* TestClock.adjust("200 millis")
        const [opened] = ofKind(heard, "FleetOpened")
        assert.deepInclude(opened, { policy: "payments", key: "default" })
        assert.deepInclude(opened?.evidence.figures, { witnesses: 2, bad: 2 })
        assert.isAbove(Duration.toMillis(opened!.openFor), 0)
        assert.deepStrictEqual((yield* late.fleet)?.circuits[0]?.evidence, opened?.evidence)
        yield* TestClock.adjust("1200 millis")
        yield* Effect.forkChild(Effect.exit(late.protect(Effect.void)))
        yield* TestClock.adjust("20 millis")
        // What listens has its turn.
        yield* TestClock.adjust("1 millis")
        const [leased] = ofKind(heard, "ProbeLeased")
        assert.isAbove(Duration.toMillis(leased!.lease), 1000)
      })
    )
  )

  it.effect("every member tells which of them probes, and on which host", () =>
    inFleet(
      Effect.gen(function* () {
        const on = (witness: string) => {
          const { bulkhead: _, ...rest } = options
          return Policy.make("payments", { ...rest, shared: { breaker: { rejoin: "close" }, witness } })
        }
        const [prober, ...others] = yield* Effect.all([on("host-a"), on("host-b"), on("host-c")])
        const heard = yield* listen(prober.events)
        for (const member of others) yield* fail(member.protect)
        yield* TestClock.adjust("200 millis")
        for (const { fleet } of others) assert.isUndefined((yield* fleet)?.circuits[0]?.prober)
        yield* TestClock.adjust("1200 millis")
        const call = prober.protect(Effect.sleep("500 millis"))
        yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
        yield* TestClock.adjust("150 millis")
        const expected = { member: (yield* prober.fleet)?.member ?? "", witness: "host-a" }
        const [leased] = ofKind(heard, "ProbeLeased")
        assert.deepStrictEqual(leased?.prober, expected)
        for (const { fleet } of [prober, ...others]) {
          const [circuit] = (yield* fleet)?.circuits ?? []
          assert.deepInclude(circuit, { state: "probing", prober: expected })
        }
        yield* TestClock.adjust("500 millis")
        for (const { fleet } of others) assert.isUndefined((yield* fleet)?.circuits[0]?.prober)
      })
    )
  )

  it.effect("permits are given back when others want some", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* Effect.all([Policy.make("payments", options), Policy.make("payments", options)])
        const heard = yield* listen(here.events)
        const start = (member: typeof here, n: number) =>
          Effect.forEach(Array.from({ length: n }), () =>
            Effect.forkChild(Effect.exit(member.protect(Effect.sleep("300 millis"))), { startImmediately: true })
          )
        for (let i = 0; i < 60; i++) {
          yield* start(here, 2)
          if (i > 20) yield* start(there, 2)
          yield* TestClock.adjust("50 millis")
        }
        const [lowered] = ofKind(heard, "ShareLowered")
        assert.deepInclude(lowered, { policy: "payments", key: "default" })
        assert.isBelow(lowered!.permits, lowered!.before)
      })
    )
  )

  it.effect("members have other settings, once", () =>
    inFleet(
      Effect.gen(function* () {
        yield* Policy.make("payments", options)
        yield* TestClock.adjust("100 millis")
        const deployed = yield* Policy.make("payments", { ...options, shared: { breaker: { quorum: 0.7 } } })
        const heard = yield* listen(deployed.events)
        yield* TestClock.adjust("5 seconds")
        // The first answer came while it was built.
        assert.isAtMost(ofKind(heard, "SettingsDiffered").length, 1)
        assert.isTrue((yield* deployed.fleet)?.settingsDiffer)
      })
    )
  )

  it.effect("have lines in the log", () =>
    inFleet(
      Effect.gen(function* () {
        const lines: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => {
          lines.push(String(Array.isArray(message) ? message[0] : message))
        })
        yield* Effect.gen(function* () {
          const { board, state } = yield* cuttable
          yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
          state.isUp = false
          yield* TestClock.adjust("10 seconds")
          state.isUp = true
          yield* TestClock.adjust("20 seconds")
        }).pipe(Effect.provide(Logs.layer()), Effect.provide(Logger.layer([logger])))
        assert.match(
          lines[0]!,
          /^payments: the board of the fleet \(memory\) does not answer\. The policy decides as if it were alone/
        )
        assert.match(
          lines.join("\n"),
          /the board of the fleet \(memory\) answers again, after|1 more times the board was lost or found/
        )
      })
    )
  )
})
