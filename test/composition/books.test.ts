import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Event, Policy } from "effect-resilience"
import { recording } from "../support/observe.ts"
import { sample } from "../support/sample.ts"
import { books, options, play } from "./books.ts"

const seeds = Array.from({ length: 15 }, (_, i) => 4000 + i)

describe("The accounts of a policy after random calls:", () => {
  it.effect.each(books)("%s", ([_, holds]) =>
    Effect.gen(function* () {
      for (const seed of seeds.slice(0, sample(5, 15))) yield* holds(seed)
    })
  )

  it.effect("the totals equal the counts of the events", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      for (const seed of seeds) {
        const events: Array<Event.Event> = []
        const policy = yield* recording(events)(Policy.make("p", options))
        yield* recording(events)(play(seed, [policy], (work, key) => work.pipe(policy.protect({ key })), true))
        for (const { key, totals } of yield* policy.allStats) {
          const told: Record<string, number> = {}
          for (const event of events) {
            if (event.key !== key) continue
            const name =
              event._tag === "Rejected" ? event.rejection._tag : event._tag === "GaveUp" ? event.reason : event._tag
            told[name] = (told[name] ?? 0) + 1
          }
          const booked = {
            ...totals.rejections,
            ...totals.giveUps,
            RetryScheduled: totals.retries,
            TimedOut: totals.timeouts
          }
          for (const [name, n] of Object.entries(booked)) {
            assert.strictEqual(n, told[name] ?? 0, `${name} of ${key}, seed ${seed}`)
            if (n > 0) seen.add(name)
          }
        }
      }
      const all = ["CircuitOpen", "BulkheadFull", "DeadlineExceeded", "attempts", "budget", "deadline", "rejected"]
      assert.includeMembers([...seen], [...all, "RetryScheduled", "TimedOut"])
    })
  )
})
