import { assert, describe, it } from "@effect/vitest"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import { seeded } from "../support/random.ts"

interface World {
  readonly timeout: number
  /** Calls a second. */
  readonly rate: number
  /** Milliseconds that an attempt takes which is sent at a moment. */
  readonly latency: (at: number) => number
}

/** The calls of the first three seconds of a key. Returns how many of them found no room. */
const refusedOf = ({ latency, rate, timeout }: World, random: () => number): number => {
  const chance: Adaptive.Chance = { nextDoubleUnsafe: random }
  const limits = { timeout, deadline: 2 * timeout }
  const state = new Adaptive.State()
  const sent: Array<{ readonly flight: Adaptive.Flight; readonly endsAt: number; readonly how: Adaptive.How }> = []
  const endUntil = (now: number): void => {
    sent.sort((one, other) => one.endsAt - other.endsAt)
    for (let first = sent[0]; first !== undefined && first.endsAt <= now; first = sent[0]) {
      sent.shift()
      Adaptive.ended(state, limits, first.flight, first.endsAt, first.how, chance)
    }
  }
  let refused = 0
  for (let now = 0; now < 3000; now += (-Math.log(1 - random()) * 1000) / rate) {
    endUntil(now)
    Adaptive.came(state, limits, now, chance)
    if (!Adaptive.admits(state, now)) {
      refused += 1
      continue
    }
    const flight = new Adaptive.Flight()
    Adaptive.sent(state, flight, now, true, true, chance)
    const takes = latency(now)
    sent.push({ flight, endsAt: now + Math.min(takes, timeout), how: takes < timeout ? "ok" : "timeout" })
  }
  return refused
}

/** Worlds of 20 to 400 calls a second and timeouts of 0.5 to 2 seconds; in each, answers take up to 300 ms at first. */
const refusedIn = (latencyOf: (random: () => number) => World["latency"]): ReadonlyArray<number> =>
  Array.from({ length: 100 }, (_, seed) => {
    const random = seeded(seed + 1)
    return refusedOf({ rate: 20 * 20 ** random(), timeout: 500 * 4 ** random(), latency: latencyOf(random) }, random)
  })

const none = Array.from({ length: 100 }, () => 0)

describe("Adaptive: the first calls of a process", () => {
  it("answers take 50 to 300 ms at first, and ever less: no call finds no room", () => {
    const refused = refusedIn((random) => {
      const [first, over, jitter] = [50 + 250 * random(), 1000 + 1000 * random(), 0.3 * random()]
      return (at) => (5 + first * Math.exp((-4 * at) / over)) * (1 + jitter * (random() - 0.5))
    })
    assert.deepStrictEqual(refused, none)
  })

  it("each of the first answers takes a time of its own, up to 300 ms: no call finds no room", () => {
    const refused = refusedIn((random) => {
      const over = 1000 + 1000 * random()
      return (at) => 5 + (50 + 250 * random()) * Math.exp((-4 * at) / over)
    })
    assert.deepStrictEqual(refused, none)
  })

  it("a dependency that hangs from the first call on is not asked for more than a limit", () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = seeded(seed + 1)
      const [rate, timeout] = [50 + 350 * random(), 500]
      // Later than seven tenths of the timeout.
      const sent = 3 * rate - refusedOf({ rate, timeout, latency: () => Infinity }, random)
      assert.isBelow(sent, rate)
    }
  })
})
