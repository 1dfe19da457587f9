/** A policy that gets commands, and its twin that never gets one: when every command has been taken back, they are alike. */
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Policies, Policy, Retry, TripPolicy } from "effect-resilience"
import { down, ok } from "../policy/support.ts"
import { seeded } from "../support/random.ts"

const keys = ["a", "b", "c"] as const
const actions = ["isolate", "disable", "enable", "open", "close", "reset"] as const

/** Settings to set, some of which do not go together. All keep the evidence: a window of another length would not keep all of its calls. */
const sets: ReadonlyArray<Policy.Values> = [
  { timeout: "1 second" },
  { timeout: "1 minute" },
  { deadline: "10 seconds" },
  { deadline: "5 minutes", timeout: "4 minutes" },
  { breaker: { trip: { failures: 1 } } },
  { breaker: { trip: { failures: 7, threshold: 0.9 } } },
  { breaker: { trip: { minimumCalls: 2 } } },
  {
    breaker: {
      trip: TripPolicy.all(
        TripPolicy.slowCallRate({ slowerThan: 1 }),
        TripPolicy.failureRate({ window: "1 minute" }),
        TripPolicy.consecutive(1)
      )
    }
  },
  { breaker: { openFor: "1 second", openForFactor: 1.5 } },
  { breaker: { openForMax: "20 seconds" } },
  { breaker: { probes: { permitted: 9, lease: "1 second" }, maxRetryAfter: 0.5 } },
  { bulkhead: { maxConcurrent: 2 } },
  { bulkhead: { maxConcurrent: 7, maxQueued: 3 }, retry: { jitter: "none", history: 1 } },
  { retry: { base: 1, cap: "1 second", maxRetryAfter: 0 }, budget: { ratio: 1, timeoutCost: 2 } }
]

interface Given {
  readonly id: number
  readonly action: string
  readonly key: string | undefined
  /** When it expires, in milliseconds since the start. */
  readonly until: number
}

const make = Policy.make("p", {
  breaker: {
    trip: TripPolicy.any(
      TripPolicy.consecutive(2),
      TripPolicy.failureRate({ window: "1 minute", minimumCalls: 4, threshold: 0.5 })
    ),
    openFor: { initial: "10 seconds", factor: 2, max: "5 minutes", jitter: 0 },
    probes: { permitted: 3, successes: 2 }
  },
  bulkhead: { maxConcurrent: 4 },
  // Of no use to the calls of this test, but there to be set.
  retry: Retry.backoff({ times: 0 }),
  budget: {},
  timeout: "10 seconds",
  deadline: "30 seconds"
})

type Twin = Effect.Success<typeof make>

const view = (policy: Twin, key: string) =>
  Effect.map(policy.stats(key), ({ circuit, maxConcurrent }) => ({
    maxConcurrent,
    circuit: JSON.parse(
      JSON.stringify(circuit, (_, value) => (Duration.isDuration(value) ? Duration.toMillis(value) : value))
    )
  }))

const outcome = <A, E extends { readonly _tag: string }>(call: Effect.Effect<A, E>) =>
  Effect.match(call, { onFailure: ({ _tag }) => _tag, onSuccess: () => "ok" })

/** Restores nothing that changed nothing: only what surely changed a circuit shields its twin from calls. */
const shields = ({ action }: Given) => ["isolate", "disable", "open", "reset"].includes(action)

/** The settings of the two policies. */
const settings = Effect.map(Policies.all, (entries) => entries.map((entry) => entry.settings))

/** Gives `commands` commands at random, between calls, and takes each back; after every step what no command touches is alike. */
export const run = (seed: number, commands: number) =>
  Effect.gen(function* () {
    const next = seeded(seed)
    const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
    const real = yield* make
    const twin = yield* make
    let now = 0
    let left = commands
    let live: Array<Given> = []
    const log: Array<string> = []
    const touching = (key: string) => live.filter((one) => one.key === undefined || one.key === key)

    const call = (key: string, fails: boolean) =>
      Effect.gen(function* () {
        const effect = fails ? down : ok
        const over = touching(key)
        if (over.length > 0 && !over.some(shields)) return
        log.push(`call ${key} ${fails ? "fails" : "succeeds"}${over.length > 0 ? ", real only" : ""}`)
        const seen = yield* outcome(effect.pipe(real.protect({ key })))
        if (over.length > 0) return
        assert.strictEqual(seen, yield* outcome(effect.pipe(twin.protect({ key }))))
      })
    const give = Effect.gen(function* () {
      left -= 1
      const dice = next()
      const key = dice < 0.3 || dice > 0.7 ? undefined : pick(keys)
      const minutes = next() < 0.4 ? 1 + Math.floor(next() * 3) : undefined
      const target = { key, ...(minutes === undefined ? {} : { for: Duration.minutes(minutes) }) }
      const action = dice > 0.7 ? "set" : next() < 0.2 ? "resize" : pick(actions)
      const given = yield* Effect.exit(
        action === "set"
          ? real.control.set(pick(sets), minutes === undefined ? {} : { for: Duration.minutes(minutes) })
          : action === "resize"
            ? real.control.resize(1 + Math.floor(next() * 9), target)
            : real.control[action](target)
      )
      if (given._tag === "Failure") {
        assert.instanceOf(Cause.squash(given.cause), RangeError, "settings that do not go together")
        log.push("refused")
        return
      }
      const { id } = given.value
      log.push(`${id}: ${action} ${key ?? "every key"}${minutes === undefined ? "" : ` for ${minutes} min`}`)
      live.push({ id, action, key, until: minutes === undefined ? Infinity : now + minutes * 60_000 })
    })
    const undo = Effect.gen(function* () {
      if (live.length === 0) return
      const { id } = pick(live)
      log.push(`undo ${id}`)
      yield* Policies.undo(id)
      live = live.filter((one) => one.id !== id)
    })
    const wait = Effect.gen(function* () {
      const millis = Math.floor(next() * 40_000)
      log.push(`wait ${millis}`)
      now += millis
      yield* TestClock.adjust(millis)
      live = live.filter((one) => one.until > now)
    })
    const compare = Effect.gen(function* () {
      if (!live.some(({ action }) => action === "set")) {
        const [a, b] = yield* settings
        assert.deepStrictEqual(a, b, `seed ${seed}:\n${log.join("\n")}`)
      }
      for (const key of keys) {
        if (touching(key).length > 0) continue
        const [a, b] = [yield* view(real, key), yield* view(twin, key)]
        if (JSON.stringify(a) === JSON.stringify(b)) continue
        assert.deepStrictEqual(a, b, `seed ${seed}, key ${key}:\n${log.join("\n")}`)
      }
    })

    for (const key of keys) yield* call(key, false)
    while (left > 0) {
      const dice = next()
      yield* dice < 0.45 ? call(pick(keys), next() < 0.6) : dice < 0.65 ? give : dice < 0.8 ? undo : wait
      yield* compare
    }
    while (live.length > 0) {
      yield* pick([undo, wait, call(pick(keys), true)])
      yield* compare
    }
    for (let i = 0; i < 20; i++) {
      yield* call(pick(keys), next() < 0.5)
      if (next() < 0.3) yield* wait
      yield* compare
    }
    assert.deepStrictEqual(yield* Policies.inForce, [])
  }).pipe(Effect.provide(Policies.layer))
